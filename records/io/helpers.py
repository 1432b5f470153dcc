"""Helpers: further threads, which run only the library's own code."""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import torch

from ...config.process.interrupts import uninterrupted
from ..tensors.torch_internals import compute_in_this_thread_alone

PATIENCE = 0.05
"""Seconds after which a thread that waits for a helper checks that it still runs."""

_MOST_THREADS = 4
"""Maximal number of threads, which keep disks and memory busy."""

_helpers: set[int] = set()
"""The running helpers, by Python's thread numbers."""


class Claim:
    """Work that several threads may come to, and one does."""

    __slots__ = ("_chances",)

    def __init__(self) -> None:
        self._chances = [None]

    def claim(self) -> bool:
        """Return True to the first thread that calls it."""
        try:
            # This is atomic: no other thread can split it.
            self._chances.pop()
        except IndexError:
            return False
        return True


def thread_count() -> int:
    """Return how many threads one call may use, including the calling one.

    It is the number that torch computes with, so that ``torch.set_num_threads(1)`` and
    ``OMP_NUM_THREADS=1`` mean one thread here too.
    """
    return min(_MOST_THREADS, torch.get_num_threads())


def may_have_help() -> bool:
    """Return whether a call of the main thread may use another one.

    A call of any other thread is background work, which leaves the other cores to the
    work in the foreground. Under a debugger one thread does everything.
    """
    return (
        thread_count() > 1
        and threading.current_thread() is threading.main_thread()
        and sys.gettrace() is None
    )


def start_helper(work: Callable[[], object], threads: list[threading.Thread]) -> bool:
    """Start a thread for ``work``, which raises nothing; False if that is impossible.

    Torch computes in it with that thread alone. It is in ``threads`` whatever
    interrupts the call, and the owner of that list joins it.
    """

    def run() -> None:
        helper = threading.get_ident()
        _helpers.add(helper)
        try:
            compute_in_this_thread_alone()
            work()
        finally:
            _helpers.discard(helper)

    # Not kept for the next call, since it would be dead after a fork.
    thread = threading.Thread(target=run, name="burnish helper", daemon=True)
    # The process is at its limit of threads, or Python is exiting.
    with uninterrupted(), suppress(RuntimeError):
        thread.start()
        threads.append(thread)
    return thread in threads


def is_only_thread() -> bool:
    """Return whether all Python threads are this one and helpers."""
    threads = sys._current_frames()  # pyright: ignore[reportPrivateUsage]  # documented
    return len(threads) == 1 or len(threads.keys() - _helpers) <= 1


os.register_at_fork(after_in_child=_helpers.clear)
