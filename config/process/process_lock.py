"""ProcessLock: a lock that survives forks and signal handlers."""

import os
import threading
from typing import Any


class ProcessLock:
    """A reentrant lock for the threads of one process.

    A child forked while another thread holds the lock gets a free one, since that
    thread does not exist in the child and would never release it. Signal handlers,
    finalizers and callbacks run between any two lines of a block, in its thread, and
    may enter the block, or another block of the same lock.
    """

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: dict[int, Any] = {}

    @property
    def here(self) -> Any:
        """Return a lock for a ``with`` statement; interrupts cannot split its methods.

        In a child, data that another thread was changing may be inconsistent.
        """
        process = os.getpid()
        # This is atomic, so that all threads get the same lock.
        return self._locks.get(process) or self._locks.setdefault(
            process, threading.RLock()
        )
