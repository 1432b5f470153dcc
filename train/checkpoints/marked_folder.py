"""MarkedFolder: a folder of a storage, whose marker says which objects count.

No two objects change together there. So the objects of each save have names of their
own, a mark in them, and the marker, which names them, is written when all are there.
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
    """Return what the names of one save's objects have before their suffix."""
    return f".{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class MarkedFolder:
    """What stands at one URL; it is there when its marker is."""

    url: Url
    marker: str
    """The object that is written last."""
    names_in: Callable[[bytes], Iterable[str]]
    """Tells the objects, or folders of such, that a marker's content names."""

    @contextmanager
    def replacement(self, mark: str) -> Generator[Url]:
        """Give the URL, for objects whose names have ``mark`` and the marker, last.

        If the block raises before the marker is written, what has ``mark`` is removed,
        and an older content is as it was. Else the older one is removed.
        """
        older: AbstractSet[str] = set()
        # Who may not list cannot be told on S3 that there is none: older ones stay.
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
        """Remove all that is in it, the marker first; what cannot be removed stays.

        If nothing may be listed, what the marker names.
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
        """Return the objects of these names, and those of folders of these names."""
        files = self._listed()
        if not files:
            return names
        return [
            file
            for file in files
            if any(file == name or file.startswith(f"{name}/") for name in names)
        ]

    def _listed(self) -> list[str]:
        """Return all objects; none where they may not be listed."""
        # Some storages raise then, and others have none.
        try:
            return [*self._objects.files()]
        except OSError as error:
            raise_of_signal(error)
            return []

    def _marked(self) -> AbstractSet[str]:
        """Return what the marker names; nothing if it is damaged or gone."""
        try:
            return {*self.names_in(self._objects.read(self.marker))}
        except (FileNotFoundError, RecordError):
            return set()

    def _discard(self, mark: str) -> None:
        # Where the marker cannot be read it may name these objects: they stay.
        if any(mark in name for name in self._marked()):
            return
        names = self._objects.files()
        self._objects.remove(name for name in names if mark in name)
