"""RemoteRecordFolder: the objects of a record behind a URL, written by several."""

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TypeAlias

from ...config.process.interrupts import suppressed
from ..io.remote.address import address_of, size_at
from ..io.remote.remote_source import RemoteSource
from ..io.remote.stored_folder import ABANDONED, StoredFolder
from ..io.remote.stored_object import StoredObject
from ..io.remote.url import Url, path_or_url
from ..io.sink import Sink, open_sink
from ..io.source import Source
from .folder import RecordFolder, parts_named_in
from .shard_index import INDEX, PartFile, save_id_of


class RemoteRecordFolder:
    """A folder of a storage, with the methods of `RecordFolder`.

    There a save cannot be seen to be alive: objects that no index names are removed a
    day after they were written, and those that the old index named immediately.
    """

    def __init__(self, url: Url) -> None:
        self._url, self._objects = url, StoredFolder(url)
        self.path = f"{url}/"
        self._replaced: set[str] = set()

    def file(self, name: str) -> Url:
        """Return the URL of an object in it."""
        return self._url / name

    def make(self) -> None:
        """Do nothing: a folder exists once an object in it does."""

    @contextmanager
    def sink(self, name: str) -> Generator[Sink]:
        """Open an object for writing, which appears atomically at the end."""
        if name == INDEX:
            self._replaced = self._named_in_index()
        with open_sink(self.file(name)) as sink:
            yield sink

    def source(self, name: str, *, map_file: bool | None = None) -> Source:
        """Open an object for reading, which is never mapped."""
        return RemoteSource(StoredObject(address_of(self.file(name))), verify=True)

    def size(self, name: str) -> int | None:
        """Return the size of an object in bytes; None if it does not exist."""
        return size_at(self.file(name))

    def remove(self, name: str) -> None:
        """Remove an object, if it exists."""
        self._objects.remove([name])

    def remove_parts(self, parts: Iterable[PartFile | None]) -> None:
        """Remove parts, except for those that the index names after all."""
        with suppressed(OSError):
            names = {part.name for part in parts if part is not None}
            self._objects.remove(sorted(names - self._named_in_index()))

    def former_parts(self, number: int, n_processes: int) -> list[str]:
        """Return nothing: the first process removes all, by a few short requests."""
        return []

    @contextmanager
    def claim(self, save_id: str) -> Generator[None]:
        """Do nothing: other processes could not see it."""
        yield

    def remove_old(self, save_id: str) -> None:
        """Remove the parts of the old index, and the remains of killed saves.

        What cannot be listed or removed is left.
        """
        with suppressed(OSError):
            current = self._named_in_index()
            self._objects.remove(sorted(self._replaced - current))
            ages = self._objects.files()
            self._objects.remove(
                name
                for name, age in ages.items()
                if save_id_of(name) not in (None, save_id)
                and name not in current
                and age is not None
                and age > ABANDONED
            )

    def _named_in_index(self) -> set[str]:
        """Return the names of parts in the index; possibly a few more."""
        try:
            return parts_named_in(self._objects.read(INDEX))
        except FileNotFoundError:
            return set()


AnyRecordFolder: TypeAlias = RecordFolder | RemoteRecordFolder
"""The location of a record of several parts."""


def record_folder(path: str | os.PathLike[str]) -> AnyRecordFolder:
    """Return the folder of a record at a path or a URL."""
    place = path_or_url(path)
    if isinstance(place, Url):
        return RemoteRecordFolder(place)
    # The program may change its directory while it is saved.
    return RecordFolder(place)
