"""Where the checkpoints of a HyperState run are: on this machine, or in a storage."""

import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ...records.io.remote.address import is_url, size_at
from ...records.io.remote.url import Place, Url, path_or_url
from ..checkpoints.folders import LATEST, Folders
from ..checkpoints.remote_folders import RemoteFolders, RunFolders
from .stored_files import CONFIG, STATE

_OBJECTS = re.compile(rb"<blob:([^/\\<>\x00]+)>")


def state_folders(root: Place, key: str) -> RunFolders:
    """Return the checkpoints of the run at a path or a URL."""
    if isinstance(root, Url):
        # Users edit its texts, so files have the same names there as on a disk.
        return RemoteFolders(
            root=root,
            key=key,
            marker=STATE,
            names_in=_files_in,
            has_own_names=True,
        )
    return Folders(root=root, key=key, marker=STATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFolder:
    """The folder of one save, and how many older ones are kept."""

    folders: RunFolders
    name: str
    """The key of the number."""
    mark: str
    keep_last: int | None
    """The number of checkpoints that are kept; None for all."""

    @property
    def place(self) -> Place:
        """Its final path, once it exists."""
        latest = LATEST if isinstance(self.folders, Folders) else ""
        return self.folders.root / f"{latest}{self.name}{self.mark}"

    def opened(self) -> AbstractContextManager[Place]:
        """Return a context with the empty folder, which appears when the block ends.

        If the block fails it does not appear at all. In a storage the older ones are
        then removed, too.
        """
        if isinstance(self.folders, Folders):
            return self.folders.new(self.place.name)
        chosen = None if self.keep_last is None else self._the_last
        return self.folders.new(self.name, self.mark, chosen)

    def retire_others(self) -> None:
        """Mark the newest as such, and remove most of the older ones."""
        if isinstance(self.folders, Folders):
            place = self.folders.root / self.place.name
            self.folders.retire(place, keep_last=self.keep_last)

    def _the_last(self, by_number: Mapping[int, Place]) -> list[int]:
        return [*by_number][-(self.keep_last or 0) :]


def place_named(path: str | os.PathLike[str]) -> Place:
    """Return ``path`` in the form of errors, or the URL that it is."""
    text = os.fsdecode(path)
    return path_or_url(text) if is_url(text) else Path(text)


def holds_state(place: Place) -> bool:
    """Return whether the folder ``place`` has the texts of a checkpoint."""
    return all(size_at(place / name) is not None for name in (STATE, CONFIG))


def _files_in(text: bytes) -> list[str]:
    """Return the files of the objects to which the text of a state refers."""
    return [*dict.fromkeys(match.decode() for match in _OBJECTS.findall(text))]
