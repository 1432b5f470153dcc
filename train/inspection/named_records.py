"""Open records that belong together, each with its name."""

from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from ...records.flat_record import FlatRecord
from ..hyperstate.stored_files import StoredFiles

Kind: TypeAlias = Literal[
    "record", "pretrained folder", "shards", "checkpoint", "hyperstate", "folder"
]


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One stored record, and its name."""

    name: str
    """Empty for a record that is stored alone."""
    file: str
    record: FlatRecord
    kind: str = ""
    """The kind that a checkpoint declares: a module, a record, a state."""


@dataclass(slots=True)
class StoredParts:
    """Records that belong together; a context manager that closes them."""

    source: str
    """The source that the user named."""
    kind: Kind
    parts: list[StoredPart]
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    """Other facts: a step, numbers, a configuration, other steps."""
    texts: StoredFiles | None = None
    """The texts beside the records, as they were when these were opened."""
    unreadable: list[Exception] = field(default_factory=list[Exception])
    """The errors of files that look like records of the folder and cannot be read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all records."""
        for part in self.parts:
            part.record.close()
