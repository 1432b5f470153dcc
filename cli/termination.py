"""SIGTERM, which job schedulers send to end a program, as an exception."""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

STATUS = 128 + signal.SIGTERM
"""The exit status that a shell reports for a program ended by SIGTERM."""


class Terminated(BaseException):
    """SIGTERM was received; a user's ``except Exception`` does not catch this."""

    def __str__(self) -> str:
        return "ended by SIGTERM"


@contextmanager
def raised_termination() -> Generator[None]:
    """Raise `Terminated` in the block when SIGTERM comes; a second one kills."""
    # Only the main thread may install signal handlers, and only it is interrupted.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pid = os.getpid()

    def end(signum: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() == pid:
            raise Terminated
        # A forked worker ends as it would without this handler.
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
