"""RemoteFolders: the checkpoints of one run in a storage behind a URL.

Each is a folder that counts when its marker is there, and `INDEX` says then which of
them the run has.
"""

import errno
import json
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...records.errors import RecordFormatError, RecordVersionError
from ...records.io.remote.address import size_at
from ...records.io.remote.stored_folder import ABANDONED, StoredFolder
from ...records.io.remote.url import Place, Url
from .folders import DIGITS, Folders
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
        return {n: self.root / self.name(n) for n in self._numbers()}

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
        numbers = set(self._listed() if indexed is None else indexed)
        with suppress(OSError):
            numbers.update(self._unlisted(numbers))
        if indexed is None or numbers > set(indexed):
            self._write_index(numbers)
        self._is_tidy = True

    @contextmanager
    def new(
        self, name: str, mark: str, lasting: "Lasting | None" = None
    ) -> Generator[Url]:
        """Give a folder for objects whose names have ``mark``, and the marker, last.

        After the block the index has it, and of all others those that ``lasting``
        chooses: the rest is removed then. If the block raises before the marker is
        written, what has ``mark`` is removed, and an older one is as it was.
        """
        with self._at(name).replacement(mark) as folder:
            yield folder
        # If the index cannot be written, the next save takes the checkpoint in.
        self._is_tidy = False
        self._commit(int(name.removeprefix(self.key)), lasting)
        self._is_tidy = True

    def _at(self, name: str) -> MarkedFolder:
        return MarkedFolder(self.root / name, self.marker, self.names_in)

    def _commit(self, number: int, lasting: "Lasting | None") -> None:
        folders = {n: self.root / self.name(n) for n in (*self._numbers(), number)}
        numbers = set(folders)
        try:
            if lasting is not None:
                numbers = {number, *lasting(dict(sorted(folders.items())))}
        finally:
            self._write_index(numbers)
        for old_name in map(self.name, sorted(folders.keys() - numbers)):
            self._at(old_name).remove()

    def _unlisted(self, numbers: Iterable[int]) -> Generator[int]:
        """Yield the numbers of complete folders that are not among ``numbers``.

        Remove what has no marker and is old.
        """
        names = {self.name(number) for number in numbers}
        for folder in filter(self._pattern.fullmatch, self._objects.folders()):
            if folder in names:
                continue
            ages = self._objects.files(folder)
            if f"{folder}/{self.marker}" in ages:
                yield int(folder.removeprefix(self.key))
            elif ages and all(
                age is not None and age > ABANDONED for age in ages.values()
            ):
                self._at(folder).remove()

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(re.escape(self.key) + rf"\d{{{DIGITS},}}")

    def _numbers(self) -> list[int]:
        """Return the numbers of complete folders, in order."""
        indexed = self._indexed()
        return self._listed() if indexed is None else indexed

    def _indexed(self) -> list[int] | None:
        """Return the numbers in the index; None if there is none."""
        try:
            content = self._objects.read(INDEX)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise self._forbidden(error) from error
        return sorted(_numbers_in(content, self.root / INDEX))

    def _listed(self) -> list[int]:
        """Return those of folders with markers, for a run that was copied there."""
        try:
            names = self._objects.folders()
        except PermissionError as error:
            raise self._forbidden(error) from error
        return [
            int(name.removeprefix(self.key))
            for name in names
            if self._pattern.fullmatch(name)
            and size_at(self.root / name / self.marker) is not None
        ]

    def _forbidden(self, error: OSError) -> PermissionError:
        return PermissionError(
            errno.EACCES,
            f"{error.strerror}. Which checkpoints there are stands in this object; "
            "that there is none yet, a storage tells those alone who may list. Check "
            "the credentials. For a new run permit listing, or write "
            '{"burnish": 1, "numbers": []} there',
            self.root / INDEX,
        )

    def _write_index(self, numbers: Iterable[int]) -> None:
        tree = {"burnish": _VERSION, "numbers": sorted(numbers)}
        self._objects.write(INDEX, json.dumps(tree).encode() + b"\n")


RunFolders: TypeAlias = Folders | RemoteFolders
"""Where the checkpoints of a run are: on this machine, or in a storage."""

Lasting: TypeAlias = Callable[[Mapping[int, Place]], Iterable[int]]
"""Chooses which of the checkpoints that there are stay, beside the newest."""


def _numbers_in(content: bytes, url: Url) -> list[int]:
    try:
        tree: dict[str, Any] = json.loads(content)
        version = tree["burnish"]
        if type(version) is not int or version > _VERSION:
            raise RecordVersionError(url, version, _VERSION, "the run")
        numbers: list[int] = list(tree["numbers"])
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("a number that is none")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordFormatError(
            url,
            f"an index that cannot be read ({error!r:.200})",
            "the one that was saved",
            "Remove it: then the folders beside it are looked for, and listed anew.",
        ) from error
    return numbers
