"""Writeback: a disk writes what a file has, while more of it is prepared."""

import ctypes
from collections.abc import Callable

_STEP = 8 << 20
"""Bytes after which the disk is told: few calls, each long enough for a fast disk."""

_WRITE = 2
"""SYNC_FILE_RANGE_WRITE of fcntl.h: begin to write the range, and wait for nothing."""


class Writeback:
    """Has a disk begin with the bytes of a file as they come.

    Otherwise it idles until the file is whole, and the sync at its end waits for all
    of them. It is a hint: where the system has no such call, or a file system does not
    know it, the sync does all, and what goes wrong on the disk is its error.
    """

    def __init__(self, fd: int, start: int) -> None:
        """``start`` is where the next byte of the file goes."""
        self._fd, self._begun, self._n_written = fd, start, start

    def advance(self, count: int) -> None:
        """Say that ``count`` more bytes were written."""
        self._n_written += count
        if self._n_written - self._begun >= _STEP:
            _sync_range(self._fd, self._begun, self._n_written - self._begun, _WRITE)
            self._begun = self._n_written


def _sync_file_range() -> Callable[[int, int, int, int], object]:
    """Return the call of Linux; on other systems, one that does nothing."""
    arguments = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    try:
        return ctypes.CFUNCTYPE(ctypes.c_int, *arguments)(
            ("sync_file_range", ctypes.CDLL(None))
        )
    except AttributeError:
        return lambda *_: None


_sync_range = _sync_file_range()
