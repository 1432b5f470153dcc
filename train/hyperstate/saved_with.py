"""What the objects of a HyperState checkpoint were saved with, in their metadata.

People edit the config of a checkpoint and move its files; the objects tell of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from ...config.process.interrupts import suppressed
from ...records.errors import RecordError
from ...records.open import open_record
from .digests import read_digests
from .stored_files import CONFIG, StoredFiles

KEY = "saved_with"
"""Where it stands in a record's metadata."""


@dataclass(frozen=True, slots=True)
class SavedWith:
    """What stood beside an object when its checkpoint was written."""

    config: str
    """The text of the config."""
    rng: bool
    """Whether the random generators were saved."""

    def metadata(self) -> dict[str, Any]:
        """Return what a record has to say of it."""
        return {KEY: asdict(self)}

    @classmethod
    def read_all(cls, files: StoredFiles) -> "Iterator[SavedWith]":
        """Return what each object among ``files`` tells.

        Older files tell nothing, and damage is told by whoever reads the object.
        """
        for name in sorted({*files.names(), *read_digests(files)}):
            if not fnmatchcase(name, "state.*.mpk"):
                continue
            with suppressed(RecordError, OSError):
                metadata: object = open_record(files.readable(name)).metadata.get(KEY)
                if isinstance(metadata, Mapping) and isinstance(
                    metadata["config"], str
                ):
                    yield cls(metadata["config"], metadata["rng"] is True)


def text_before_edit(files: StoredFiles) -> str | None:
    """Return the config that objects were saved with, if none was with that of now.

    An object that was not read since an earlier step was saved with the config of then.
    """
    texts = [saved.config for saved in SavedWith.read_all(files)]
    is_edited = files.text(CONFIG).replace("\r\n", "\n") not in texts
    return texts[0] if texts and is_edited else None
