"""What the objects of a HyperState checkpoint were saved with, in their metadata.

Users edit the config of a checkpoint and move its files; the objects reveal it.
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
"""Its key in a record's metadata."""


@dataclass(frozen=True, slots=True)
class SavedWith:
    """The data beside an object when its checkpoint was written."""

    config: str
    """The text of the config."""
    rng: bool
    """Whether the random generators were saved."""

    def metadata(self) -> dict[str, Any]:
        """Return it as a record's metadata."""
        return {KEY: asdict(self)}

    @classmethod
    def read_all(cls, files: StoredFiles) -> "Iterator[SavedWith]":
        """Return the data of each object among ``files``.

        Older files have none, and damage is reported by the reader of the object.
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
    """Return the config that objects were saved with, if none has the current one.

    An object that was not read since an earlier step was saved with that step's config.
    """
    texts = [saved.config for saved in SavedWith.read_all(files)]
    is_edited = files.text(CONFIG).replace("\r\n", "\n") not in texts
    return texts[0] if texts and is_edited else None
