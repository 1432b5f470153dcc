"""RemoteFolders: the checkpoints of one run in a storage behind a URL.

Each is a folder that counts when its marker is there, and `INDEX` says then which of
them the run has.
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
"""The object that says which checkpoints there are, so that nothing is listed."""

_VERSION = 1


@dataclass(slots=True, kw_only=True)
class RemoteFolders:
    """The folders of one run: which there are, and how a new one comes to be.

    One run writes at a time. Of two that do, each keeps what it saved, and the index
    may lack one of them until a run begins to save again.
    """

    root: Url
    """Where they lie."""
    key: str = "step"
    """What the number counts; the name is this and 12 digits."""
    marker: str
    """The object that is written last into each."""
    names_in: Callable[[bytes], Iterable[str]]
    """Tells the objects, or folders of such, that a marker's content names."""
    has_own_names: bool = False
    """Whether each save has a folder of its own, whose name ends in the mark.

    Else the names of its objects do, and the marker says which of them count.
    """
    _objects: StoredFolder = field(init=False)
    _is_tidy: bool = field(init=False, default=False)
    """Whether what killed saves left was looked for."""

    def __post_init__(self) -> None:
        self._objects = StoredFolder(self.root)

    def name(self, number: int) -> str:
        """Return the folder's name for ``number``."""
        return f"{self.key}{number:0{DIGITS}d}"

    def new_mark(self) -> str:
        """Return what the names of one save's objects end in, before the suffix."""
        return new_mark()

    def by_number(self) -> dict[int, Url]:
        """Return the complete folders by number, in order.

        OSError where there is no index, and nothing can be listed either.
        """
        return {n: self.root / name for n, name in self._names().items()}

    def complete(self) -> dict[int, Url]:
        """Return what `by_number` does: who opens one that is not there says so."""
        return self.by_number()

    def lost(self, number: int) -> RecordFormatError:
        """Return the error of a folder that the index has and that has no marker."""
        return RecordFormatError(
            self.root / self.name(number),
            f"a checkpoint without {self.marker}",
            "all objects that were saved",
            f"Copy the folder again, or restore an older {self.key}, or take this one "
            f"out of {self.root / INDEX}.",
        )

    def prepare(self) -> None:
        """Take in complete checkpoints that the index lacks, at the first call.

        And remove what killed saves left, a day after they wrote it. Where nothing may
        be listed or removed, it stays.
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
        """Give a folder for objects whose names have ``mark``, and the marker, last.

        Or the folder has the mark, see `has_own_names`. After the block the index has
        it, and of all others those that ``lasting`` chooses: the rest is removed then.
        If the block raises before the marker is written, what has ``mark`` is removed,
        and an older one is as it was.
        """
        block = (
            self._own(name + mark)
            if self.has_own_names
            else self._at(name).replacement(mark)
        )
        with block as folder:
            yield folder
        # If the index cannot be written, the next save takes the checkpoint in.
        self._is_tidy = False
        self._commit(int(name.removeprefix(self.key)), folder.name, lasting)
        self._is_tidy = True

    @contextmanager
    def _own(self, name: str) -> Generator[Url]:
        """Give the folder ``name``, of which nothing is left if the block raises."""
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

        Remove what has no marker, or was replaced, and is old.
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
        """Yield those of ``names`` that are names of checkpoints, and their numbers."""
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
                "Remove it: the folders beside it are then found and listed again.",
            ) from error

    def _checked_name(self, number: Any, name: Any) -> str:
        """Return the name of a folder in an index. ValueError for one that is none."""
        if type(number) is not int or number < 0:
            raise ValueError(f"{number!r:.60} is not a number")
        folder = self.name(number) if name is None else name
        if [*self._numbered([folder])] != [(number, folder)]:
            raise ValueError(f"{folder!r:.60} is not a folder of {number}")
        return str(folder)

    def _listed(self) -> dict[int, str]:
        """Return those of folders with markers, for a run that was copied there."""
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
            f"{error.strerror}. This object lists the checkpoints; that it does not "
            "exist yet, a storage shows only to those who may list. Check the "
            "credentials. For a new run, allow listing, or write "
            '{"burnish": 1, "numbers": []} there',
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
"""Chooses which of the checkpoints that there are stay, beside the newest."""
