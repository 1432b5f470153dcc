"""MarkedFolder: a folder of a storage, whose marker determines which objects are valid.

Two objects cannot be changed together there. So the objects of each save have names of
their own, with a mark in them, and the marker, which names them, is written last.
"""

import secrets
from collections.abc import Callable, Generator, Iterable
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass

from ...config.process.interrupts import raise_of_signal, suppressed
from ...config.process.log import LOG
from ...records.errors import RecordError
from ...records.io.remote.stored_folder import StoredFolder
from ...records.io.remote.url import Url


def new_mark() -> str:
    """Return the part of the names of one save's objects before their suffix."""
    return f".{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class MarkedFolder:
    """The content of one URL, which exists once its marker does."""

    url: Url
    marker: str
    """The object that is written last."""
    names_in: Callable[[bytes], Iterable[str]]
    """Returns the objects, or folders of objects, that a marker's content names."""

    @contextmanager
    def replacement(self, mark: str) -> Generator[Url]:
        """Yield the URL, for objects whose names have ``mark`` and, last, the marker.

        If the block raises before the marker is written, objects with ``mark`` are
        removed, and the older content is unchanged. Otherwise the older one is removed.
        """
        older: AbstractSet[str] = set()
        # Without permission to list, S3 does not report missing objects: older ones are
        # kept.
        with suppressed(OSError):
            older = self._marked()
        try:
            yield self.url
        except BaseException:
            with suppressed(Exception):
                self._discard(mark)
            raise
        if older:
            self._remove(self._objects_at(older))

    def remove(self) -> None:
        """Remove its content, the marker first; what cannot be removed is left.

        If listing is not permitted, this removes what the marker names.
        """
        names: Iterable[str] = self._listed()
        if not names:
            with suppressed(OSError):
                names = self._marked()
        self._remove([self.marker, *(name for name in names if name != self.marker)])

    @property
    def _objects(self) -> StoredFolder:
        return StoredFolder(self.url)

    def _remove(self, names: Iterable[str]) -> None:
        try:
            self._objects.remove(names)
        except OSError as error:
            raise_of_signal(error)
            LOG.warning(
                "%s: older objects could not be removed, and remain (%s)",
                self.url,
                error.strerror,
            )

    def _objects_at(self, names: AbstractSet[str]) -> Iterable[str]:
        """Return the objects of these names, and those in folders of these names."""
        files = self._listed()
        if not files:
            return names
        return [
            file
            for file in files
            if any(file == name or file.startswith(f"{name}/") for name in names)
        ]

    def _listed(self) -> list[str]:
        """Return all objects; none if they cannot be listed."""
        # Some storages raise in that case, and others return none.
        try:
            return [*self._objects.files()]
        except OSError as error:
            raise_of_signal(error)
            return []

    def _marked(self) -> AbstractSet[str]:
        """Return the objects that the marker names; none if it is damaged."""
        try:
            return {*self.names_in(self._objects.read(self.marker))}
        except (FileNotFoundError, RecordError):
            return set()

    def _discard(self, mark: str) -> None:
        # An unreadable marker may name these objects, so they are kept.
        if any(mark in name for name in self._marked()):
            return
        names = self._objects.files()
        self._objects.remove(name for name in names if mark in name)
