"""A lock that lets only one writer at a time change the config of a run."""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..process.interrupts import suppressed
from ..storage.opening import Descriptor, open_folder
from ..storage.scratch import lock, unlock
from .history import HISTORY

_PAUSE = 0.005
"""Seconds between attempts: flock either does not wait, or waits without a limit."""


@contextmanager
def edit_lock(folder: Path, *, wait_seconds: float) -> Generator[bool]:
    """Keep others that ask for the lock from writing the config in ``folder``.

    Yields False if another writer has not finished after ``wait_seconds``. Without a
    lock file, for instance on a file system without locks, writers do not exclude each
    other: there, and against an editor, which takes no lock, the last writer wins.
    """
    opened = _lock_place(folder)
    if opened is None:
        yield True
        return
    end = time.monotonic() + wait_seconds
    try:
        while not (is_ours := lock(opened)) and time.monotonic() < end:
            time.sleep(_PAUSE)
        yield is_ours
    finally:
        # A process forked in the meantime has the file open too, so closing is not
        # enough.
        unlock(opened)
        opened.close()


def _lock_place(folder: Path) -> Descriptor | None:
    """Return the file that all writers lock: the history, which is never replaced."""
    for flags in (os.O_RDWR, os.O_RDONLY):
        # Locks on network file systems need write access; processes without it need no
        # lock.
        with suppressed(OSError):
            return Descriptor(str(folder / HISTORY), flags | os.O_NONBLOCK)
    with suppressed(OSError):
        return open_folder(str(folder))
    return None
