"""SIGTERM, by which schedulers of jobs end a program, as an exception."""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

STATUS = 128 + signal.SIGTERM
"""The exit status that a shell tells of a program that SIGTERM ended."""


class Terminated(BaseException):
    """SIGTERM has come; no ``except Exception`` of a user's keeps it."""

    def __str__(self) -> str:
        return "ended by SIGTERM"


@contextmanager
def raised_termination() -> Generator[None]:
    """Raise `Terminated` in the block when SIGTERM comes; a second one kills."""
    # Only the main thread may say what a signal does, and only it is interrupted.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pid = os.getpid()

    def end(signum: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() == pid:
            raise Terminated
        # A worker that was forked ends as it would have without us.
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
