"""copy_rows: the bytes of many tensors, copied by several threads."""

import ctypes
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import torch

from ..io.helpers import start_helper

_PIECE = 4 << 20
"""Bytes that a thread copies in one step."""

_FEW = 8 << 20
"""Up to this many bytes are not worth the start of a thread."""


class RowCopy(NamedTuple):
    """Contiguous bytes to be copied elsewhere; the caller keeps both alive."""

    target: int
    source: int
    size: int


def copy_rows(rows: Sequence[RowCopy], alive: object) -> None:
    """Copy all rows, by as many threads as torch computes with.

    ``alive`` keeps the memory. Torch itself copies a tensor by all threads, which wait
    for each other at the end of each; here any free thread takes the next piece, so
    that on a busy machine none waits for a thread that does not run.
    """
    pieces = deque(_pieces(rows))

    def work(_: object = alive) -> None:
        # A thread that continues after an interrupt still has the memory.
        with suppress(IndexError):
            while True:
                ctypes.memmove(*pieces.popleft())

    threads: list[threading.Thread] = []
    try:
        # If the process is at its limit of threads, fewer are used.
        for _ in range(_n_helpers(rows)):
            start_helper(work, threads)
        work()
    finally:
        pieces.clear()
    for thread in threads:
        thread.join()


def _n_helpers(rows: Sequence[RowCopy]) -> int:
    """Return the number of threads that help the calling one."""
    size = sum(row.size for row in rows)
    return min(torch.get_num_threads() - 1, size // _FEW)


def _pieces(rows: Sequence[RowCopy]) -> Iterator[RowCopy]:
    for target, source, size in rows:
        for start in range(0, size, _PIECE):
            length = min(_PIECE, size - start)
            yield RowCopy(target + start, source + start, length)
