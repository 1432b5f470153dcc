"""One writer at a time for the config of a run, whoever the writers are."""

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
"""Seconds between two tries: flock itself either does not wait, or without an end."""


@contextmanager
def edit_lock(folder: Path, *, wait_seconds: float) -> Generator[bool]:
    """Let nobody else who asks write the config in ``folder`` during the block.

    False if another writer has not come to an end after ``wait_seconds``. Where there
    is nothing to lock, on a file system without locks, say, it is as if nobody else
    wrote: there, and against an editor, which asks nobody, the last writer wins.
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
        # A process that was forked meanwhile has it open too: closing is not enough.
        unlock(opened)
        opened.close()


def _lock_place(folder: Path) -> Descriptor | None:
    """Return what all writers lock: the history, which no writer ever replaces."""
    for flags in (os.O_RDWR, os.O_RDONLY):
        # Locks of a network are for those who may write; others need not.
        with suppressed(OSError):
            return Descriptor(str(folder / HISTORY), flags | os.O_NONBLOCK)
    with suppressed(OSError):
        return open_folder(str(folder))
    return None
