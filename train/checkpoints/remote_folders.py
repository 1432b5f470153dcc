"""RemoteFolders: the checkpoints of one run in a storage behind a URL.

Each is a folder that is valid once its marker exists, and `INDEX` then lists those that
the run has.
"""

import errno
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...config.process.interrupts import suppressed
from ...records.errors import RecordFormatError, RecordVersionError
from ...records.io.remote.address import size_at
from ...records.io.remote.stored_folder import ABANDONED, StoredFolder
from ...records.io.remote.url import Place, Url
from .folders import DIGITS, Folders, numbered_name
from .marked_folder import MarkedFolder, new_mark

INDEX = "checkpoints.json"
"""The object that lists the existing checkpoints, so that no listing is needed."""

_VERSION = 1


@dataclass(slots=True, kw_only=True)
class RemoteFolders:
    """The folders of one run: listing them, and creating new ones.

    One run writes at a time. If two do, each keeps what it saved, and the index may
    lack one of them until a run saves again.
    """

    root: Url
    """The URL that contains them."""
    key: str = "step"
    """What the number counts; a name is this and 12 digits."""
    marker: str
    """The object that is written last into each."""
    names_in: Callable[[bytes], Iterable[str]]
    """Returns the objects, or folders of objects, that a marker's content names."""
    has_own_names: bool = False
    """Whether each save has a folder of its own, whose name ends in the mark.

    Otherwise the names of its objects do, and the marker lists the valid ones.
    """
    _objects: StoredFolder = field(init=False)
    _is_tidy: bool = field(init=False, default=False)
    """Whether remains of killed saves were looked for."""

    def __post_init__(self) -> None:
        self._objects = StoredFolder(self.root)

    def name(self, number: int) -> str:
        """Return the folder's name for ``number``."""
        return f"{self.key}{number:0{DIGITS}d}"

    def new_mark(self) -> str:
        """Return the ending of the names of one save's objects, before the suffix."""
        return new_mark()

    def by_number(self) -> dict[int, Url]:
        """Return the complete folders by number, in order.

        OSError if there is no index, and listing is impossible too.
        """
        return {n: self.root / name for n, name in self._names().items()}

    def complete(self) -> dict[int, Url]:
        """Return the result of `by_number`; opening a missing one reports it."""
        return self.by_number()

    def lost(self, number: int) -> RecordFormatError:
        """Return the error for a folder in the index that has no marker."""
        return RecordFormatError(
            self.root / self.name(number),
            f"a checkpoint without {self.marker}",
            "all objects that were saved",
            f"Copy the folder again, or restore an older {self.key}, or remove "
            f"this one from {self.root / INDEX}.",
        )

    def prepare(self) -> None:
        """At the first call, add complete checkpoints missing in the index.

        Also remove remains of killed saves, a day after they were written. If listing
        or removing is not permitted, they are left.
        """
        if self._is_tidy:
            return
        indexed = self._indexed()
        names = dict(self._listed() if indexed is None else indexed)
        with suppressed(OSError):
            names.update(self._unlisted(names))
        if indexed is None or names.keys() > indexed.keys():
            self._write_index(names)
        self._is_tidy = True

    @contextmanager
    def new(
        self, name: str, mark: str, lasting: "Lasting | None" = None
    ) -> Generator[Url]:
        """Yield a folder for objects whose names have ``mark`` and, last, the marker.

        Or the folder has the mark, see `has_own_names`. After the block the index has
        it, and of all others those chosen by ``lasting``: the rest is removed then. If
        the block raises before the marker is written, objects with ``mark`` are
        removed, and an older folder is unchanged.
        """
        block = (
            self._own(name + mark)
            if self.has_own_names
            else self._at(name).replacement(mark)
        )
        with block as folder:
            yield folder
        # If the index cannot be written, the next save adds the checkpoint.
        self._is_tidy = False
        self._commit(int(name.removeprefix(self.key)), folder.name, lasting)
        self._is_tidy = True

    @contextmanager
    def _own(self, name: str) -> Generator[Url]:
        """Yield the folder ``name``, removed completely if the block raises."""
        try:
            yield self.root / name
        except BaseException:
            with suppressed(Exception):
                self._at(name).remove()
            raise

    def _at(self, name: str) -> MarkedFolder:
        return MarkedFolder(self.root / name, self.marker, self.names_in)

    def _commit(self, number: int, name: str, lasting: "Lasting | None") -> None:
        older_names = self._names()
        names = dict(sorted({**older_names, number: name}.items()))
        numbers = set(names)
        try:
            if lasting is not None:
                folders = {n: self.root / folder for n, folder in names.items()}
                numbers = {number, *lasting(folders)}
        finally:
            self._write_index({n: names[n] for n in numbers})
        for old_number, old_name in older_names.items():
            if old_number not in numbers or names[old_number] != old_name:
                self._at(old_name).remove()

    def _unlisted(self, names: Mapping[int, str]) -> Generator[tuple[int, str]]:
        """Yield complete folders whose numbers are not among ``names``.

        Remove folders that have no marker, or were replaced, and are old.
        """
        indexed_names = {*names.values()}
        for number, folder in self._numbered(self._objects.folders()):
            if folder in indexed_names:
                continue
            ages = self._objects.files(folder)
            if f"{folder}/{self.marker}" in ages and number not in names:
                yield number, folder
            elif ages and all(
                age is not None and age > ABANDONED for age in ages.values()
            ):
                self._at(folder).remove()

    def _numbered(self, names: Iterable[str]) -> Generator[tuple[int, str]]:
        """Yield the names of checkpoints among ``names``, with their numbers."""
        pattern = numbered_name(self.key)
        for name in names:
            match = pattern.fullmatch(name)
            if match and (self.has_own_names or name == self.name(int(match[1]))):
                yield int(match[1]), name

    def _names(self) -> dict[int, str]:
        """Return the names of complete folders by number, in order."""
        indexed = self._indexed()
        return self._listed() if indexed is None else indexed

    def _indexed(self) -> dict[int, str] | None:
        """Return the folders in the index by number; None if there is none."""
        try:
            content = self._objects.read(INDEX)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise self._forbidden(error) from error
        return self._names_in(content)

    def _names_in(self, content: bytes) -> dict[int, str]:
        """Return the folders in an index by number. RecordError for a damaged one."""
        url = self.root / INDEX
        try:
            tree: dict[str, Any] = json.loads(content)
            version = tree["burnish"]
            if type(version) is not int or version > _VERSION:
                raise RecordVersionError(url, version, _VERSION, "the run")
            names = dict(tree.get("folders", {}))
            numbers: list[Any] = sorted(tree["numbers"])
            return {n: self._checked_name(n, names.get(str(n))) for n in numbers}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise RecordFormatError(
                url,
                f"an index that cannot be read ({error!r:.200})",
                "the one that was saved",
                "Remove it: the folders next to it are then listed again.",
            ) from error

    def _checked_name(self, number: Any, name: Any) -> str:
        """Return the name of a folder in an index. ValueError for anything else."""
        if type(number) is not int or number < 0:
            raise ValueError(f"{number!r:.60} is not a number")
        folder = self.name(number) if name is None else name
        if [*self._numbered([folder])] != [(number, folder)]:
            raise ValueError(f"{folder!r:.60} is not a folder of {number}")
        return str(folder)

    def _listed(self) -> dict[int, str]:
        """Return the names of folders with markers, for a run that was copied there."""
        try:
            names = self._objects.folders()
        except PermissionError as error:
            raise self._forbidden(error) from error
        return dict(
            sorted(
                (number, name)
                for number, name in self._numbered(names)
                if size_at(self.root / name / self.marker) is not None
            )
        )

    def _forbidden(self, error: OSError) -> PermissionError:
        return PermissionError(
            errno.EACCES,
            f"{error.strerror}. This object lists the checkpoints. Storage may "
            "deny access, instead of saying that an object does not exist, to "
            "credentials that are not allowed to list. Check the credentials. "
            'For a new run, allow listing, or write {"burnish": 1, '
            '"numbers": []} there',
            self.root / INDEX,
        )

    def _write_index(self, names: Mapping[int, str]) -> None:
        tree: dict[str, Any] = {"burnish": _VERSION, "numbers": sorted(names)}
        if self.has_own_names:
            tree["folders"] = {str(n): names[n] for n in sorted(names)}
        self._objects.write(INDEX, json.dumps(tree).encode() + b"\n")


RunFolders: TypeAlias = Folders | RemoteFolders
"""Where the checkpoints of a run are: on this machine, or in a storage."""

Lasting: TypeAlias = Callable[[Mapping[int, Place]], Iterable[int]]
"""Chooses which of the existing checkpoints are kept, beside the newest."""
