"""Ctrl-C held back while something must not stop halfway."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGALRM")
    if hasattr(signal, name)
)
"""Those whose handlers raise, as Python's own for Ctrl-C and programs' for limits."""


@contextmanager
def uninterrupted() -> Generator[None]:
    """Handle Ctrl-C, SIGTERM and SIGALRM after the block, and not inside it.

    Python runs handlers in the main thread alone, so that others need nothing. Keep
    the block short: whoever presses Ctrl-C waits for its end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    handlers: dict[int, Any] = {}
    # An exception may come in place of either `restore`, and the other is made.
    try:
        try:
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    handlers[number] = handler
                    signal.signal(number, lambda *caught: held.append(caught))
            yield
        finally:
            _restore(handlers)
    finally:
        _restore(handlers)
    for number, frame in held:
        handlers[number](number, frame)


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
