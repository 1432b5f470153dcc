"""Temporaries that a save writes to before they get their final name.

Each is locked while its writer lives, so that a later save can recognize what a killed
one has left behind.
"""

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager

from ..process.interrupts import raise_of_signal, suppressed
from .opening import Descriptor

try:
    import fcntl
except ImportError as error:
    raise ImportError(
        "burnish reads and writes files on POSIX systems (Linux, macOS) only, and this "
        "Python has no fcntl; on Windows, run it within WSL 2"
    ) from error

_MOST_BYTES = 255
"""Maximal length of a file name, on every file system in use."""

_ENDING = r"\.[0-9a-f]{8}\.tmp"
_N_ADDED = len(".") + len(".01234567.tmp")
_MOST_TRIES = 100


def scratch_name(name: str) -> str:
    """Return the name of a temporary for ``name``, different at each call."""
    return f".{_shorten(name)}.{secrets.token_hex(4)}.tmp"


def is_too_long(name: str) -> bool:
    """Return whether the names of temporaries contain only a part of ``name``."""
    return _shorten(name) != name


def scratch_pattern(name: str) -> re.Pattern[str]:
    """Return a pattern that matches the names of temporaries for ``name``."""
    return re.compile(re.escape(f".{_shorten(name)}") + _ENDING)


def any_scratch(names: str) -> re.Pattern[str]:
    """Return a pattern of temporaries for names that match the expression ``names``."""
    return re.compile(rf"\.(?:{names}){_ENDING}", re.DOTALL)


def is_scratch(name: str) -> bool:
    """Return whether this is the name of an unfinished save."""
    return _ANY_SCRATCH.fullmatch(name) is not None


_ANY_SCRATCH = any_scratch(".+")


class ScratchPath:
    """A locked temporary for ``final``, a file or folder with its final name.

    The temporary's name is recorded before it is created, so that `discard` removes
    everything whenever its writer is interrupted.
    """

    def __init__(
        self, folder: Descriptor, final: str, remove: Callable[[str], object]
    ) -> None:
        self._folder, self._final, self._remove = folder, final, remove
        self.name = ""
        """Its name in the folder; empty once it no longer exists."""
        self.opened: Descriptor
        """The temporary; its lock, held until `discard`, marks the writer as alive."""

    def make(self, make: Callable[[str], Descriptor]) -> Descriptor:
        """Create it under an unused name, and return it, open and locked."""
        problem = OSError(errno.EEXIST, "no temporary file can be made", self._final)
        for _ in range(_MOST_TRIES):
            self.name = scratch_name(self._final)
            try:
                self.opened = make(self.name)
            except (FileExistsError, FileNotFoundError) as error:
                self.name, problem = "", error
                continue
            # Until it is locked, another save may mistake it for an abandoned one.
            if lock(self.opened) and is_same(self.opened, self._folder, self.name):
                return self.opened
        raise problem

    def rename(self) -> None:
        """Rename it to its final name, replacing a file there."""
        folder = self._folder.fd
        os.replace(self.name, self._final, src_dir_fd=folder, dst_dir_fd=folder)
        self.name = ""

    def discard(self) -> None:
        """Remove it, unless it was renamed, and release its lock."""
        if self.name:
            with suppressed(OSError):
                self._remove(self.name)
            self.name = ""
        if hasattr(self, "opened"):
            with suppressed(OSError):
                self.opened.close()


@contextmanager
def lock_scratch(
    folder: Descriptor,
    final: str,
    make: Callable[[str], Descriptor],
    remove: Callable[[str], object],
) -> Generator[ScratchPath]:
    """Yield a temporary, which is removed after the block unless it was renamed."""
    scratch = ScratchPath(folder, final, remove)
    # An interrupt may replace one of the calls of `discard`; the other is still made.
    try:
        try:
            scratch.make(make)
            yield scratch
        finally:
            scratch.discard()
    finally:
        scratch.discard()


def find_abandoned(
    folder: Descriptor, pattern: re.Pattern[str], is_kind: Callable[[int], bool]
) -> Generator[str]:
    """Yield names of temporaries in ``folder`` whose writers are dead, each locked.

    ``is_kind`` returns by its mode whether something is of the expected kind: other
    things with such a name are left alone.
    """
    try:
        names = [name for name in os.listdir(folder.fd) if pattern.fullmatch(name)]
    except OSError as error:
        raise_of_signal(error)
        return  # A folder that cannot be listed may still accept files.
    for name in names:
        with suppressed(OSError), taken_over(folder, name, is_kind) as is_free:
            if is_free:
                yield name


@contextmanager
def taken_over(
    folder: Descriptor, name: str, is_kind: Callable[[int], bool]
) -> Generator[bool]:
    """Lock ``name`` for the block; yield False if a living writer holds its lock."""
    status = os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
    if not is_kind(status.st_mode):
        yield False
        return
    # Opening a pipe that has replaced it since would wait for its writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    opened = Descriptor(name, flags, dir_fd=folder.fd)
    try:
        is_locked = lock(opened, needs_locks=True)
        yield (
            is_locked
            and is_kind(os.fstat(opened.fd).st_mode)
            and is_same(opened, folder, name)
        )
    finally:
        opened.close()


def lock(opened: Descriptor, *, needs_locks: bool = False) -> bool:
    """Lock a file for its writer; return whether that succeeded.

    On a file system without locks it succeeds, unless the caller ``needs_locks``.
    """
    try:
        fcntl.flock(opened.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise_of_signal(error)
        return not needs_locks
    return True


def unlock(opened: Descriptor) -> None:
    """Release the lock of a file that stays open, in forked processes too."""
    with suppressed(OSError):
        fcntl.flock(opened.fd, fcntl.LOCK_UN)


def is_same(opened: Descriptor, folder: Descriptor, name: str) -> bool:
    """Return whether ``name`` still refers to the file that was opened."""
    try:
        status = os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
    except OSError as error:
        raise_of_signal(error)
        return False
    return os.path.samestat(os.fstat(opened.fd), status)


def remove_abandoned(folder: Descriptor, name: str) -> None:
    """Remove the temporaries for the file ``name`` whose writers are dead."""
    for left_behind in find_abandoned(folder, scratch_pattern(name), stat.S_ISREG):
        with suppressed(OSError):
            os.unlink(left_behind, dir_fd=folder.fd)


def _shorten(name: str) -> str:
    """Return ``name``, cut between two characters so that a temporary's name fits."""
    encoded = os.fsencode(name)
    most = _MOST_BYTES - _N_ADDED
    return name if len(encoded) <= most else encoded[:most].decode("utf-8", "ignore")
