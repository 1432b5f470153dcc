"""Records that belong together, open, each with its name there."""

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
    """One record of what is stored, and its name there."""

    name: str
    """Empty for what is stored alone."""
    file: str
    record: FlatRecord
    kind: str = ""
    """What a checkpoint says that it is: a module, a record, a state."""


@dataclass(slots=True)
class StoredParts:
    """Records that belong together; a context manager that closes them."""

    source: str
    """What was pointed at."""
    kind: Kind
    parts: list[StoredPart]
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    """What else is said there: a step, numbers, a configuration, other steps."""
    texts: StoredFiles | None = None
    """The texts beside the records, as they were when these were opened."""

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
