"""Part: an object under its name in a checkpoint, of any kind."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeAlias

from torch import nn

from ...config.process.transaction import Transaction
from ...records.errors import RecordError
from ...records.flat_record import FlatRecord
from ...records.io.remote.url import Place
from ...records.record import Record
from ...records.record_writer import RecordWriter, WritableRecord, writer_for
from .choice import WHOLE, Choice
from .manifest import Ties

MODULE, RECORD, STATE, VALUE = "module", "record", "state", "value"
"""The kinds of parts, as files name them: a module, what makes a record of itself, a
state dict, plain data."""


class Part(ABC):
    """An object under its name in a checkpoint; each subclass is one kind of object."""

    kind: ClassVar[str]
    """The name of this kind in files."""
    fillable_from: ClassVar[tuple[str, ...]]
    """The kinds of stored parts that such an object can be filled from."""

    def __init__(
        self, name: str, value: Any, left_out: frozenset[str] = frozenset()
    ) -> None:
        self.name, self.value = name, value
        self.left_out = left_out
        """Paths that a record of it does not have, because of patterns."""
        self.modules: Mapping[str, nn.Module] = {}
        """Modules of the same checkpoint, by name: an optimizer names parameters so."""

    def choose(self, choice: Choice) -> Record | FlatRecord:
        """Return the record of what ``choice`` selects; list the rest in `left_out`."""
        return self.record()

    @property
    def may_be_shared(self) -> bool:
        """Whether its tensors may be distributed over processes."""
        return False

    def share_ids(self) -> None:  # noqa: B027  # most kinds have none
        """Give its parameters the IDs of the first process; all processes call this."""

    def with_own_shares(self, record: FlatRecord) -> FlatRecord:
        """Return a record of it with only what this process needs of tensors."""
        return record

    @staticmethod
    @abstractmethod
    def suits(value: object) -> bool:
        """Return whether ``value`` is an object of this kind."""

    @abstractmethod
    def record(self) -> Record | FlatRecord:
        """Return the object's record; it refers to live tensors if possible.

        TypeError names the path of a value that is not plain data.
        """

    @abstractmethod
    def fill(
        self, record: FlatRecord, stored_kind: str, transaction: Transaction
    ) -> None:
        """Fill the object from ``record``, which is of a kind in ``fillable_from``.

        The transaction undoes it if a later part fails. Raises RecordMismatchError, or
        the errors of the object's own methods.
        """

    def prepare_for_code_of_others(
        self, transaction: Transaction, write: Callable[[FlatRecord], object]
    ) -> None:
        """Prepare for code that looks at other parts, and may fail halfway in this one.

        A copy is made in main memory, whatever the object's device is, and restored by
        ``write``.
        """
        transaction.make_visible()
        # A record also has what a part keeps besides its tensors.
        snapshot = self.record().map_tensors(
            lambda tensor: tensor.detach().to("cpu", copy=True)
        )
        # Not by `fill`, which would ask the object for its state: after a failure
        # halfway it may have none to return.
        transaction.undo_with(lambda: write(snapshot.flat()))


@dataclass(frozen=True, slots=True)
class PartRecord:
    """A part of a checkpoint as a record that is about to be written."""

    name: str
    kind: str
    file: str
    record: WritableRecord
    left_out: frozenset[str] = frozenset()
    """Paths of a module's tensors that are not in the record."""
    ties: Ties = field(default_factory=dict[str, tuple[str, str]])
    """The tensors it shares with parts before it."""

    def with_record(self, record: WritableRecord) -> "PartRecord":
        """Return the same part with a copy of its record."""
        return replace(self, record=record)


SavePart: TypeAlias = Callable[[PartRecord, Place], None]
"""Writes the record of a part to its file."""


def record_of_part(part: Part, file: str, choice: Choice = WHOLE) -> PartRecord:
    """Return the record of one part, for a file. ValueError as `part_records`."""
    record = writable(part, choice, writer_for(file))
    return PartRecord(part.name, part.kind, file, record, part.left_out)


def writable(part: Part, choice: Choice, writer: RecordWriter) -> WritableRecord:
    """Return what ``writer`` is to write of a part; errors name the part."""
    note = f"in the part {part.name!r} of the checkpoint"
    try:
        return writer.prepare(part.choose(choice), note=note)
    except (RecordError, ValueError) as error:
        error.add_note(note)
        raise
