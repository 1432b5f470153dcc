"""PartRecord: a part of a checkpoint as the record that is about to be written."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ...records.errors import RecordError
from ...records.io.remote.url import Place
from ...records.record_writer import RecordWriter, WritableRecord, writer_for
from .choice import WHOLE, Choice
from .manifest import Ties
from .part import Part


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
    """What it has in common with parts before it."""

    def with_record(self, record: WritableRecord) -> "PartRecord":
        """Return the same part with a copy of its record."""
        return replace(self, record=record)


SavePart: TypeAlias = Callable[[PartRecord, Place], None]
"""Writes the record of a part to its file."""


def record_of_part(part: Part, suffix: str, choice: Choice = WHOLE) -> PartRecord:
    """Return the record of one part. ValueError as `part_records`."""
    file = f"{part.name}{suffix}"
    record = writable(part, choice, writer_for(file))
    return PartRecord(part.name, part.kind, file, record, part.left_out)


def writable(part: Part, choice: Choice, writer: RecordWriter) -> WritableRecord:
    """Return what ``writer`` is to write of a part; errors say which one it is."""
    note = f"in the part {part.name!r} of the checkpoint"
    try:
        return writer.prepare(part.choose(choice), note=note)
    except (RecordError, ValueError) as error:
        error.add_note(note)
        raise
