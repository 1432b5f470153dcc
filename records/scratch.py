"""Temporaries that a save writes to before they take their final name.

Each is locked while its writer lives, so that a later save can tell what a killed one
has left behind.
"""

import errno
import fcntl
import glob
import os
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress


def scratch_name(folder: str, name: str) -> str:
    """Return the path of a temporary beside ``name``, different at each call."""
    # Names have at most 255 bytes, and the temporary needs 14 more than the file.
    return os.path.join(folder, f".{name[:200]}.{secrets.token_hex(4)}.tmp")


def make_locked(folder: str, name: str, make: Callable[[str], int]) -> tuple[int, str]:
    """Return a new locked temporary beside ``name``: what ``make`` opened, and where.

    The lock holds until the descriptor is closed, and says that the writer lives.
    """
    while True:
        scratch = scratch_name(folder, name)
        fd = make(scratch)
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_same(fd, scratch):
            return fd, scratch
        os.close(fd)


def abandoned(folder: str, name: str) -> Generator[str]:
    """Yield the temporaries beside ``name`` whose writers are dead, each locked.

    Wildcards in ``name`` must be escaped unless they are meant.
    """
    pattern = os.path.join(glob.escape(folder), f".{name}.{'[0-9a-f]' * 8}.tmp")
    for scratch in glob.glob(pattern):
        with suppress(OSError), taken_over(scratch) as is_free:
            if is_free:
                yield scratch


@contextmanager
def taken_over(path: str) -> Generator[bool]:
    """Lock ``path`` for the block; False where a living writer holds its lock."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield _is_same(fd, path)
    finally:
        os.close(fd)


def sync_folder(folder: str) -> None:
    """Put the names in ``folder`` on the disk, where its file system can."""
    fd = os.open(folder or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Some network file systems cannot sync a folder; the file itself is synced.
        with suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)


def explained(error: OSError, path: str) -> OSError:
    """Return ``error`` in words that say what to do about ``path``."""
    folder = os.path.dirname(path) or "."
    what = {
        errno.ENOENT: f"the folder {folder} does not exist; make it first",
        errno.EACCES: f"the folder {folder} is not writable",
        errno.EROFS: f"the folder {folder} is read-only",
        errno.ENOSPC: "the disk is full; what was saved there before is unchanged",
        errno.EDQUOT: "the disk quota is used up; what was saved before is unchanged",
    }.get(error.errno or 0)
    return error if what is None else OSError(error.errno, what, path)


def _is_same(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except OSError:
        return False
