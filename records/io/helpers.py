"""Helpers: threads beside the one that calls, which run no code but the library's."""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import torch

from ...config.process.interrupts import uninterrupted
from ..tensors.torch_internals import compute_in_this_thread_alone

PATIENCE = 0.05
"""Seconds after which whoever waits for a helper looks whether it still runs."""

_MOST_THREADS = 4
"""Disks and memory are busy with as many."""

_helpers: set[int] = set()
"""Those that run, as Python numbers threads."""


class Claim:
    """Work that several threads may come to, and one does."""

    __slots__ = ("_chances",)

    def __init__(self) -> None:
        self._chances = [None]

    def claim(self) -> bool:
        """Return True to the first thread that asks."""
        try:
            # One step, which no other thread can split.
            self._chances.pop()
        except IndexError:
            return False
        return True


def thread_count() -> int:
    """Return how many threads one call may use, the one that calls among them.

    As many as torch computes with, so that ``torch.set_num_threads(1)`` and
    ``OMP_NUM_THREADS=1`` mean one thread here too.
    """
    return min(_MOST_THREADS, torch.get_num_threads())


def may_have_help() -> bool:
    """Return whether a call of the main thread may use another one.

    A call of any other thread is somebody's work in the background, which leaves the
    other cores to what goes on before it. Under a debugger all is done in one thread.
    """
    return (
        thread_count() > 1
        and threading.current_thread() is threading.main_thread()
        and sys.gettrace() is None
    )


def start_helper(work: Callable[[], object], threads: list[threading.Thread]) -> bool:
    """Have a new thread do ``work``, which raises nothing; False if there can be none.

    Torch computes in it by that thread alone. It is in ``threads`` whatever interrupts
    the call, and whoever made that list joins it.
    """

    def run() -> None:
        helper = threading.get_ident()
        _helpers.add(helper)
        try:
            compute_in_this_thread_alone()
            work()
        finally:
            _helpers.discard(helper)

    # Not kept for the next call: after a fork it would be dead.
    thread = threading.Thread(target=run, name="burnish helper", daemon=True)
    # The process may have as many threads as it may have, or Python is ending.
    with uninterrupted(), suppress(RuntimeError):
        thread.start()
        threads.append(thread)
    return thread in threads


def is_only_thread() -> bool:
    """Return whether all threads of Python are this one and helpers."""
    threads = sys._current_frames()  # pyright: ignore[reportPrivateUsage]  # documented
    return len(threads) == 1 or len(threads.keys() - _helpers) <= 1


os.register_at_fork(after_in_child=_helpers.clear)
