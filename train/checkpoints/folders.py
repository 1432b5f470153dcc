"""Folders that appear atomically, each the state of a run at one point."""

import errno
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ...config.process.interrupts import raise_of_signal, suppressed, uninterrupted
from ...config.storage.opening import Descriptor, looks, open_folder
from ...config.storage.replacement import (
    explain_os_error,
    refuse_home_sign,
    sync_folder,
    sync_new_name,
)
from ...config.storage.scratch import (
    ScratchPath,
    any_scratch,
    find_abandoned,
    is_too_long,
    lock,
    lock_scratch,
    scratch_name,
    taken_over,
    unlock,
)
from ...records.errors import RecordFormatError

DIGITS = 12
"""Digits of the number in a folder's name, so that names sort like numbers."""

LATEST = "latest-"
"""Prefix of the name of the newest folder, if it is marked."""

_MOST_SECONDS, _PAUSE = 60.0, 0.005
"""Seconds that a writer waits for its turn, and between two attempts."""

_OF_ANOTHER_WRITER = (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST)
"""Errors of a rename when another process removed or created the folder meanwhile."""

_WRITERS = {"checkpoint.json": "burnish.Checkpoints", "state.ron": "HyperState"}
"""The writers of checkpoint folders, by the marker file in them."""

_RETIRED = ".old"
_RETIRED_NAME = re.compile(r"\.(.+)\.[0-9a-f]{8}\.old", re.DOTALL)


def retired_name(name: str) -> str | None:
    """Return the original name of a folder that was moved aside; else None."""
    match = _RETIRED_NAME.fullmatch(name)
    return match and match[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """The folders of one run: listing them, and creating new ones."""

    root: Path
    """The folder that contains them."""
    key: str = "step"
    """What the number counts; a name is this and 12 digits."""
    marker: str = ""
    """The file without which a folder is not one of them."""

    def name(self, number: int) -> str:
        """Return the folder's name for ``number``."""
        return f"{self.key}{number:0{DIGITS}d}"

    def by_number(self) -> dict[int, Path]:
        """Return the complete folders by number, in order; recover after kills."""
        folders: dict[int, Path] = {}
        for _ in looks():
            self._recover()
            names, folders = self._names(), self._with_marker()
            # Each save has a temporary of its own, so names that stayed the same show
            # that no writer replaced or removed a folder while it was looked for.
            if self._names() == names and not any(map(retired_name, names)):
                break
        return folders

    @contextmanager
    def locked(self) -> Generator[dict[int, Path]]:
        """Yield the result of `by_number` while no other writer changes folders."""
        self._recover()
        with turn(open_folder(str(self.root))):
            yield self._with_marker()

    def complete(self) -> dict[int, Path]:
        """Return the result of `by_number`, for a run resumed from the newest folder.

        RecordFormatError if a newer one lacks its marker: folders appear atomically, so
        a copy or a user has lost the file, and an older state would pass for the
        newest.
        """
        folders = self.by_number()
        newest = max(folders, default=-1)
        for number, folder in reversed(self._named_by_number()):
            if number > newest and self._lacks_marker(folder):
                beginning = f"{self.key} {newest}" if folders else "the beginning"
                raise self._without_marker(folder, beginning)
        return folders

    def _without_marker(self, folder: Path, beginning: str) -> RecordFormatError:
        markers = _WRITERS.keys() - {self.marker}
        marker = next((name for name in markers if (folder / name).is_file()), None)
        if marker is not None:
            writer = _WRITERS[marker]
            return RecordFormatError(
                str(folder),
                f"a checkpoint of {writer}",
                f"one with {self.marker}",
                f"Read it with {writer}, and give each run its own folder.",
            )
        return RecordFormatError(
            str(folder),
            f"a checkpoint without {self.marker}",
            "all files that were saved",
            f"Copy the folder again, or remove it to continue from {beginning}.",
        )

    def of_other_keys(self) -> dict[str, Path]:
        """Return the newest complete folder of each other key in this folder."""
        names = [*map(_numbered("(.+?)").fullmatch, self._names())]
        newest: dict[str, tuple[int, Path]] = {}
        for match in filter(None, names):
            key, number, folder = match[1], int(match[2]), self.root / match[0]
            is_newer = key not in newest or number > newest[key][0]
            if key != self.key and is_newer and (folder / self.marker).is_file():
                newest[key] = number, folder
        return {key: folder for key, (_, folder) in newest.items()}

    def unmarked(self) -> dict[int, Path]:
        """Return the folders by number that have lost their marker."""
        folders = self._named_by_number()
        return {number: path for number, path in folders if self._lacks_marker(path)}

    def remove(self, folder: Path) -> None:
        """Remove a folder: first its name, then its content."""
        remove_folder(folder)

    def retire(self, newest: Path, *, keep_last: int | None) -> None:
        """Remove ``latest-`` from all names but ``newest``'s.

        Remove all but the newest ``keep_last``, none for None.
        """
        self.remove(newest.with_name(newest.name.removeprefix(LATEST)))
        with self.locked() as folders:
            older = [folder for folder in folders.values() if folder != newest]
            n_kept = len(older) if keep_last is None else keep_last - 1
            n_removed = max(len(older) - n_kept, 0)
            for folder in older[:n_removed]:
                self.remove(folder)
            for folder in older[n_removed:]:
                if folder.name.startswith(LATEST):
                    bare = folder.with_name(folder.name.removeprefix(LATEST))
                    os.rename(folder, bare)

    def prepare(self) -> None:
        """Create the root if there is none; remove unfinished saves of killed runs.

        NotADirectoryError if something else is in its place, and another OSError, with
        a message, if no folder can be created.
        """
        make_run_folder(self.root)
        self._recover()
        sweep(self.root, rf"(?:{LATEST})?{re.escape(self.key)}\d+")

    def new_mark(self) -> str:
        """Return what file names may lack, since separate folders distinguish them."""
        return ""

    @contextmanager
    def new(
        self,
        name: str,
        mark: str = "",
        lasting: Callable[[Mapping[int, Path]], Iterable[int]] | None = None,
    ) -> Generator[Path]:
        """Yield an empty folder, named ``name`` at the end, replacing an older one.

        If the block raises, it is removed completely, and the older one is unchanged.
        Of all others those chosen by ``lasting`` are kept.
        """
        with self._new_folder(name) as scratch:
            yield scratch
        if lasting is None:
            return
        with self.locked() as folders:
            lasting_numbers = {*lasting(folders)}
            for number, folder in folders.items():
                if number not in lasting_numbers:
                    self.remove(folder)

    @contextmanager
    def _new_folder(self, name: str) -> Generator[Path]:
        try:
            refuse_home_sign(str(self.root))
            self.root.mkdir(parents=True, exist_ok=True)
            with atomic_folder(self.root / name) as scratch:
                yield scratch
        except OSError as error:
            if error.errno is None:
                raise
            raise explain_os_error(error, str(self.root / name)) from error

    def _with_marker(self) -> dict[int, Path]:
        return {
            n: path
            for n, path in self._named_by_number()
            if (path / self.marker).is_file()
        }

    def _named_by_number(self) -> list[tuple[int, Path]]:
        """Return everything that has the name of a folder, by number, in order."""
        pattern = numbered_name(self.key)
        matches = [m for name in self._names() if (m := pattern.fullmatch(name))]
        numbered = [(int(match[1]), self.root / match[0]) for match in matches]
        return sorted(numbered, key=lambda pair: pair[0])

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self.root))
        except (FileNotFoundError, NotADirectoryError):
            refuse_obstacle(self.root)
            return []

    def _lacks_marker(self, folder: Path) -> bool:
        """Return whether ``folder``, possibly an incomplete copy, lacks the marker.

        A file in its place, or a dangling link, has no marker either.
        """
        try:
            before = os.stat(folder)
            is_marked = (folder / self.marker).is_file()
            # A folder's files are removed after its name, so one that still exists has
            # lost nothing to a writer that removes or replaces it meanwhile.
            is_same = os.path.samestat(before, os.stat(folder))
        except (FileNotFoundError, NotADirectoryError):
            return os.path.lexists(folder) and not folder.is_dir()
        return is_same and not is_marked

    def _recover(self) -> None:
        """Restore a replaced folder's name if its replacement never arrived."""
        with suppressed(OSError):
            recover(self.root)


def numbered_name(key: str) -> re.Pattern[str]:
    """Return a pattern for names of folders, with the number as its first group.

    In a storage names may end in the mark of a save, also where they were copied to.
    """
    return _numbered(re.escape(key))


def _numbered(key_pattern: str) -> re.Pattern[str]:
    """Return a pattern for names of folders whose key matches ``key_pattern``."""
    return re.compile(
        rf"(?:{LATEST})?{key_pattern}(\d{{{DIGITS},}})(?:\.[0-9a-f]{{8}})?"
    )


def make_run_folder(root: Path) -> None:
    """Create the folder ``root`` of a run, which may exist; OSError explains failures.

    A folder that accepts no files is an error too: the first save would fail, later.
    """
    refuse_home_sign(str(root))
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise_of_signal(error)
        if error.errno in (errno.EEXIST, errno.ENOENT, errno.ENOTDIR):
            refuse_obstacle(root)
        # In a folder of the system itself, such as /proc, no names can be created.
        reason = "no folder can be created there"
        if error.errno != errno.ENOENT:
            reason = f"{reason}: {error.strerror}"
        raise OSError(error.errno, f"{reason}; {_ANOTHER}", str(root)) from error
    if not os.access(root, os.W_OK | os.X_OK):
        reason = "no file can be written there"
        raise PermissionError(errno.EACCES, f"{reason}; {_ANOTHER}", str(root))


@contextmanager
def made_folder(root: Path) -> Generator[None]:
    """Create it, as `make_run_folder` does; if the block raises, remove it."""
    was_there = os.path.lexists(root)
    make_run_folder(root)
    try:
        yield
    except BaseException:
        if not was_there:
            with suppressed(OSError):  # another process has created a file there
                os.rmdir(root)
        raise


_ANOTHER = "choose another folder for the run"


def refuse_obstacle(root: Path) -> None:
    """Raise NotADirectoryError if ``root`` is something other than a folder.

    Or if one of its parents is: a run whose checkpoints are out of reach would start
    from scratch.
    """
    place = next(path for path in (root, *root.parents) if os.path.lexists(path))
    if place.is_dir():
        return
    if place.is_symlink() and not place.exists():
        reason = f"a link to {os.readlink(place)}, which is missing; mount its disk"
    else:
        reason = "a file; move it away"
    raise NotADirectoryError(
        errno.ENOTDIR,
        f"checkpoints need a folder, but this is {reason}, or choose another folder",
        str(place),
    )


@contextmanager
def atomic_folder(folder: Path) -> Generator[Path]:
    """Yield an empty folder that replaces ``folder`` when the block ends.

    It may replace a file too, which is unchanged if the block raises.
    """
    # The name of a killed replacement's remains contains the name that it was for.
    if is_too_long(folder.name):
        raise OSError(
            errno.ENAMETOOLONG, "the name is too long for a folder", str(folder)
        )
    parent = open_folder(str(folder.parent))

    def make(name: str) -> Descriptor:
        os.mkdir(name, dir_fd=parent.fd)
        return open_folder(name, dir_fd=parent.fd)

    def remove(name: str) -> None:
        _remove_tree(folder.parent / name)

    with lock_scratch(parent, folder.name, make, remove) as scratch:
        yield folder.parent / scratch.name
        _sync_files(str(folder.parent / scratch.name))
        with turn(parent), uninterrupted():
            _put(scratch, parent, folder)


def remove_folder(folder: Path) -> None:
    """Remove the name ``folder`` first, in one step, and then its content."""
    doomed = folder.with_name(scratch_name(folder.name))
    # An interrupt may replace one of the removals; the other is still made.
    try:
        try:
            with suppress(FileNotFoundError):
                os.rename(folder, doomed)
        finally:
            _remove(doomed)
    finally:
        _remove(doomed)


def sweep(root: Path, names: str) -> None:
    """Remove unfinished saves of folders whose names match an expression."""
    with suppress(FileNotFoundError):
        parent = open_folder(str(root))
        for scratch in find_abandoned(parent, any_scratch(names), stat.S_ISDIR):
            _remove_tree(root / scratch)


def recover(root: Path) -> None:
    """Finish or undo the replacements in ``root`` whose writers were killed."""
    parent = open_folder(str(root))
    if not any(map(_RETIRED_NAME.fullmatch, os.listdir(parent.fd))):
        return
    with turn(parent) as is_alone:
        if is_alone:
            # A living writer has finished its turn, so what it had moved aside is gone.
            for name in os.listdir(parent.fd):
                _recover(parent, root, name)


@contextmanager
def turn(parent: Descriptor) -> Generator[bool]:
    """Let one writer at a time change which folders are in ``parent``.

    Yields False if that is impossible: the file system has no locks, or a writer does
    not finish. Such writers see changes of others meanwhile, and try again.
    """
    end = time.monotonic() + _MOST_SECONDS
    # An interrupt may replace one of the calls of `unlock`; the other is still made.
    # Forked processes have the folder open too, so closing is not enough.
    try:
        try:
            while not lock(parent) and time.monotonic() < end:
                time.sleep(_PAUSE)
            yield lock(parent, needs_locks=True)
        finally:
            unlock(parent)
    finally:
        unlock(parent)


def _recover(parent: Descriptor, root: Path, name: str) -> None:
    place = retired_name(name)
    if place is not None:
        with suppressed(OSError), taken_over(parent, name, _is_ours) as is_free:
            if is_free:
                _settle(root / name, root / place)


def _put(scratch: ScratchPath, parent: Descriptor, folder: Path) -> None:
    """Rename ``scratch`` to ``folder``, whatever other processes create or remove."""
    for is_last in looks():
        try:
            if os.path.lexists(folder):
                _replace(scratch, folder)
            else:
                scratch.rename()
        except OSError as error:
            if is_last or error.errno not in _OF_ANOTHER_WRITER:
                raise
        else:
            break
    sync_new_name(parent)


def _replace(scratch: ScratchPath, folder: Path) -> None:
    """Rename ``scratch`` to ``folder``; the older one gets another name meanwhile."""
    retired = folder.with_name(
        scratch_name(folder.name).removesuffix(".tmp") + _RETIRED
    )
    # An interrupt may replace one of the calls of `_settle`; the other is still made.
    try:
        try:
            os.rename(folder, retired)
            scratch.rename()
        finally:
            _settle(retired, folder)
    finally:
        _settle(retired, folder)


def _settle(retired: Path, folder: Path) -> None:
    """Remove what was replaced, or restore its name if nothing has taken it."""
    if not os.path.lexists(retired):
        return
    if os.path.lexists(folder):
        _remove(retired)
    else:
        os.rename(retired, folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        _remove_tree(path)
    else:
        with suppressed(OSError):
            path.unlink()


def _is_ours(mode: int) -> bool:
    return stat.S_ISDIR(mode) or stat.S_ISREG(mode)


def _sync_files(folder: str) -> None:
    """Sync everything to the disk; records are synced already."""
    for entry in os.scandir(folder):
        if entry.is_file(follow_symlinks=False):
            opened = Descriptor(entry.path, os.O_RDONLY)
            os.fsync(opened.fd)
            opened.close()
    sync_folder(open_folder(folder))


def _remove_tree(folder: Path) -> None:
    # The library opens folders on its way, and an interrupt would leave one open.
    with uninterrupted():
        shutil.rmtree(folder, ignore_errors=True)
