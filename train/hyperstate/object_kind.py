"""ObjectKind: how objects of one kind are described in a file, and restored."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from torch import nn

from ...records.errors import RecordMismatchError
from ...records.flat_record import FlatRecord
from ...records.open import open_record
from ..checkpoints.manifest import Ties
from ..checkpoints.param_names import STATE_KEY
from .stored_files import StoredFiles

KEY = STATE_KEY
"""The metadata key of a record for its object's kind."""

SERIALIZED, BOUND, GENERATOR, FILLED = "serialized", "bound", "generator", "filled"
OWN_TYPE = "own type"
"""Names of further kinds, beside those of `part_kinds`.

They are objects that deserialize themselves, optimizers over modules of the state,
generators, objects that fill the one that ``initial_state`` makes, and objects that a
registered class makes of its data.
"""


@dataclass(frozen=True, slots=True)
class Description:
    """A file's description of its object beside the record."""

    kind: str
    """How it is restored: the name of an `ObjectKind`."""
    part: str
    """How its record was made: one of the kinds of `part_kinds`."""
    about: Any = None
    """The binding of an optimizer, or the name of a generator."""
    left_out: tuple[str, ...] = ()
    """Paths of a module's tensors that are not in its record."""
    ties: Ties = field(default_factory=dict[str, tuple[str, str]])
    """Its tensors that are those of other objects, too."""

    @classmethod
    def read(cls, record: FlatRecord) -> "Description":
        """Return ``record``'s description. RecordMismatchError if there is none."""
        metadata = record.metadata.get(KEY)
        if not isinstance(metadata, Mapping) or not isinstance(
            metadata.get("kind"), str
        ):
            raise RecordMismatchError(
                record.reading.file, ["found a record that is not an object of a state"]
            )
        left_out = metadata.get("left_out", ())
        return cls(
            metadata["kind"],
            str(metadata.get("part")),
            metadata.get("about"),
            tuple(map(str, left_out)) if isinstance(left_out, list) else (),
            _ties(metadata.get("ties")),
        )

    def metadata(self, left_out: Collection[str]) -> dict[str, Any]:
        """Return it as metadata; the tensors ``left_out`` are not stored."""
        facts = {"kind": self.kind, "part": self.part, "about": self.about}
        if left_out:
            facts["left_out"] = sorted(left_out)
        if self.ties:
            facts["ties"] = {path: [*place] for path, place in self.ties.items()}
        return {KEY: facts}


class StateInRestoring(Protocol):
    """The state as seen by an object that is being restored."""

    def deserialized(self, data: object, annotation: object, file: str) -> Any:
        """Return the result of the class in ``annotation`` for ``data``."""
        ...

    def module_at(self, path: str) -> nn.Module:
        """Return a module of the state, which is restored before this returns."""
        ...

    @property
    def has_program(self) -> bool:
        """Whether there is a program that makes objects when a run begins."""
        ...

    def initial_object(self, path: str) -> Any:
        """Return the object that the program makes at ``path`` when a run begins."""
        ...

    def is_made_by_program(self, path: str) -> bool:
        """Return whether the program makes an object at ``path`` then."""
        ...

    def initial_modules(self) -> Mapping[str, nn.Module]:
        """Return the modules that it makes then, by path."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One object of a state, as its file has it."""

    path: str
    """Of its field in the state."""
    annotation: object
    """The declared type of the field."""
    record: FlatRecord
    description: Description


class ObjectKind(ABC):
    """How objects of one kind are described in a file, and restored."""

    name: ClassVar[str]
    """The name of this kind in files."""

    @abstractmethod
    def description(
        self, value: object, part: str, modules: Mapping[str, nn.Module]
    ) -> Description | None:
        """Return the description of ``value``; None if it is not of this kind.

        ``part`` is how its record is made, ``modules`` are those of the state.
        """

    @abstractmethod
    def restore(self, source: ObjectRecord, state: StateInRestoring) -> Any:
        """Return a new object, or the one that the program made, filled."""

    def why_not_restored(self, value: object, annotation: object) -> str | None:
        """Return why a field of type ``annotation`` could not get ``value`` back.

        None if it could.
        """
        return None

    def beside_filled(self, description: Description) -> Description:
        """Return how to restore an object beside one that only the program can make.

        The program binds its objects to each other, so modules and optimizers are its
        own then.
        """
        return description


def open_object(
    files: StoredFiles,
    file: str,
    name: str,
    hyperparameters: Literal["compare", "ignore"] | None = None,
) -> FlatRecord:
    """Return the record in ``file``. FileNotFoundError that names the field."""
    try:
        return open_record(files.readable(file), hyperparameters=hyperparameters)
    except FileNotFoundError as error:
        error.strerror = f"the file of the state's {name!r} is missing"
        raise


def _ties(data: object) -> Ties:
    rows = data.items() if isinstance(data, Mapping) else ()
    return {
        str(path): (str(place[0]), str(place[1]))
        for path, place in rows
        if isinstance(place, list) and len(place) == 2
    }
