"""What stands where a file should: pipes and their like, and an alarm for who waits."""

import os
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_SECONDS = 20


def make_irregular(kind: str, place: Path) -> None:
    """Put a pipe, a socket, a folder, a device or a link to itself at ``place``."""
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(place))
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to("/dev/zero" if kind == "device" else place)


@contextmanager
def no_waiting() -> Generator[None]:
    """Raise AssertionError in the block if it waits for somebody."""

    def late(*_: object) -> None:
        raise AssertionError("this waits for somebody")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
