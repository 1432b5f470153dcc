"""What every test may rely on."""

import signal
from collections.abc import Generator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Generator[None]:
    """Let Ctrl-C be raised, which a shell has its background programs ignore."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
