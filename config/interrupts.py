"""Changes that happen as a whole, whatever interrupts them: Ctrl-C or an error."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

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


def call_with_end(function: Callable[[], T], end: Callable[[], object]) -> T:
    """Call ``function``, then ``end`` in any case, and return what the first returned.

    A ``with`` block may be left without its end if Ctrl-C comes there, and ``finally``
    if it comes in place of the call: so ``end`` is called again where it did not
    return, and does nothing a second time.
    """
    has_ended = False
    try:
        try:
            return function()
        finally:
            with uninterrupted():
                end()
                has_ended = True
    finally:
        if not has_ended:
            with uninterrupted():
                end()


def all_or_nothing(
    attempt: Callable[[list[Callable[[], object]]], object],
    finish: Callable[[], object],
) -> None:
    """Call ``attempt``, then ``finish``; if either raises, nothing was changed.

    ``attempt`` is given a list, and puts there what undoes each of its changes before
    it makes that. ``finish`` changes nothing if it fails, or may be called again to
    complete its changes: where it was interrupted, all is done, and then raised.
    """
    undos: list[Callable[[], object]] = []
    is_begun = False
    try:
        attempt(undos)
        with uninterrupted():
            is_begun = True
            finish()
    except BaseException:
        with uninterrupted():
            if not (is_begun and _completes(finish)):
                undo_all(undos)
        raise


def undo_all(undos: list[Callable[[], object]]) -> None:
    """Call each of ``undos``, the last one first, whatever they raise."""
    for undo in reversed(undos):
        # What refused its new state may refuse the old one as well.
        with suppress(Exception):
            undo()


def _completes(finish: Callable[[], object]) -> bool:
    try:
        finish()
    except Exception:
        return False
    return True


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
