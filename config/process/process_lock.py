"""ProcessLock: a lock that neither a fork nor a handler of signals finds locked."""

import os
import threading
from typing import Any


class ProcessLock:
    """A lock of one process, which the thread that has it may take again.

    A child that is forked while another thread has it gets a free one: that thread is
    not in the child, and would never let go. Handlers of signals, finalizers and
    callbacks run between any two lines of a block, in its thread, and may enter it, or
    another block of the same lock, in the middle.
    """

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: dict[int, Any] = {}

    @property
    def here(self) -> Any:
        """For a ``with`` statement: Python's own lock, whose calls no interrupt splits.

        In a child, what another thread was changing may have been left half changed.
        """
        process = os.getpid()
        # One step, so that all threads have the same.
        return self._locks.get(process) or self._locks.setdefault(
            process, threading.RLock()
        )
