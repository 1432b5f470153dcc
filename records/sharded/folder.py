"""RecordFolder: the files of a record in a folder, and their writers.

All reads and writes go through here, except for reads of an open index (``PartFiles``);
at a URL through ``remote_folder``.
"""

import os
import re
import stat
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager, suppress

from ...config.process.interrupts import suppressed
from ...config.storage.opening import Descriptor, open_folder, read_file
from ...config.storage.replacement import explain_os_error, make_folder
from ...config.storage.scratch import (
    any_scratch,
    find_abandoned,
    lock_scratch,
    scratch_pattern,
    taken_over,
)
from ..io.sink import Sink, open_sink
from ..io.source import FileSource, Source
from .shard_index import INDEX, PartFile, save_id_of

_MOST_OF_INDEX = 1 << 30
"""Size in bytes that no readable index has."""


class RecordFolder:
    """A folder of this machine."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # The program may change its directory while it is saved.
        self.path = os.path.abspath(os.fsdecode(path))

    def file(self, name: str) -> str:
        """Return the path of a file in it."""
        return os.path.join(self.path, name)

    def make(self) -> None:
        """Create the folder, if it does not exist."""
        make_folder(self.path)

    def is_there(self) -> bool:
        """Return whether this process sees the folder."""
        return os.path.isdir(self.path)

    def sink(self, name: str) -> AbstractContextManager[Sink]:
        """Open a file for writing, which appears atomically at the end."""
        return open_sink(self.file(name))

    def source(self, name: str, *, map_file: bool | None = None) -> Source:
        """Open a file for reading, mapped where that is safe unless told otherwise."""
        return FileSource(self.file(name), map_file=map_file)

    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes; None if it does not exist."""
        try:
            return os.stat(self.file(name)).st_size
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        with suppress(FileNotFoundError):
            os.unlink(self.file(name))

    def remove_parts(self, parts: Iterable[PartFile | None]) -> None:
        """Remove parts, except for those that the index names after all."""
        current = self._named_in_index()
        for part in parts:
            if part is not None and part.name not in current:
                with suppressed(OSError):
                    self.remove(part.name)

    def former_parts(self, number: int, n_processes: int) -> list[str]:
        """Return which parts of the index process ``number`` removes after a save.

        Each has its own to remove, since freeing their memory takes up to a fifth of
        the time of writing them.
        """
        names: set[str] = set()
        with suppressed(OSError):
            names = self._named_in_index()
        return [n for n in sorted(names) if number_of(n) % n_processes == number]

    @contextmanager
    def claim(self, save_id: str) -> Generator[None]:
        """Mark a save as alive, until the block ends or the process does."""
        folder = open_folder(self.path)

        def make(name: str) -> Descriptor:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            try:
                return Descriptor(name, flags, dir_fd=folder.fd)
            except OSError as error:
                if isinstance(error, FileExistsError | FileNotFoundError):
                    raise  # another name is tried
                # The name is unused, so it is the folder that cannot be written.
                raise explain_os_error(error, self.file(INDEX)) from error

        def remove(name: str) -> None:
            os.unlink(name, dir_fd=folder.fd)

        try:
            with lock_scratch(folder, _claim(save_id), make, remove):
                yield
        finally:
            folder.close()

    def remove_old(self, save_id: str) -> None:
        """Remove the parts of other finished saves, except for those of the index.

        Parts whose writer lives are kept: another save may be in progress. What cannot
        be removed is left for the next save.
        """
        with suppressed(OSError):
            self._remove_old(save_id)

    def _remove_old(self, save_id: str) -> None:
        names = os.listdir(self.path)
        ids = {id_ for name in names if (id_ := save_id_of(name)) is not None}
        dead = {id_ for id_ in ids - {save_id} if not self._is_alive(id_, names)}
        # Read after the writers were checked: one that ended meanwhile has written it.
        current = self._named_in_index()
        for name in names:
            if save_id_of(name) in dead and name not in current:
                with suppressed(OSError):
                    self.remove(name)
        folder = open_folder(self.path)
        try:
            for name in find_abandoned(folder, _UNFINISHED, stat.S_ISREG):
                self.remove(name)
        finally:
            folder.close()

    def _is_alive(self, save_id: str, names: list[str]) -> bool:
        """Return whether the first process of a save still runs; drop dead claims.

        On a file system without locks this is unknown, and none counts as dead.
        """
        pattern = scratch_pattern(_claim(save_id))
        for name in filter(pattern.fullmatch, names):
            folder = open_folder(self.path)
            try:
                with taken_over(folder, name, stat.S_ISREG) as is_free:
                    if not is_free:
                        return True
                    os.unlink(name, dir_fd=folder.fd)
            except FileNotFoundError:
                pass  # it has ended since the folder was listed
            finally:
                folder.close()
        return False

    def _named_in_index(self) -> set[str]:
        """Return the names of parts in the index; possibly a few more."""
        try:
            content = read_file(self.file(INDEX), _MOST_OF_INDEX)
        except FileNotFoundError:
            return set()
        return parts_named_in(content)


def number_of(part: str) -> int:
    """Return the number of the process that wrote a part of this name."""
    return int(part.split("-")[1])


_UNFINISHED = any_scratch(r"part-\d{5,}-of-\d{5,}\.[0-9a-f]{8}\.mpk|save\.[0-9a-f]{8}")
"""A pattern for the remains of a killed process's part, and of its claim."""

_NAMES = re.compile(rb"part-\d{5,}-of-\d{5,}\.[0-9a-f]{8}\.mpk")


def parts_named_in(index: bytes) -> set[str]:
    """Return the names of parts in the content of an index; possibly a few more."""
    return {match.decode() for match in _NAMES.findall(index)}


def _claim(save_id: str) -> str:
    return f"save.{save_id}"


def is_record_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether the folder ``path`` contains a record."""
    return os.path.isfile(os.path.join(os.fsdecode(path), INDEX))


def folder_named(file: object) -> str | None:
    """Return the folder that ``file`` names: by a slash, or because it has a record."""
    if not isinstance(file, str | os.PathLike):
        return None
    path = os.fsdecode(file)
    return path if path.endswith(("/", os.sep)) or is_record_folder(path) else None
