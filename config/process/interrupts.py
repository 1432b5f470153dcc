"""Changes that are atomic with respect to interrupts: Ctrl-C or an error."""

import contextlib
import functools
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from traceback import walk_tb
from types import CellType, FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

_SIGNALS = tuple(
    getattr(signal, name)
    for name in (
        "SIGINT",
        "SIGTERM",
        "SIGALRM",
        "SIGHUP",
        "SIGUSR1",
        "SIGUSR2",
        "SIGXCPU",
    )
    if hasattr(signal, name)
)
"""Signals whose handlers raise an exception.

Python's own does for Ctrl-C, and those of programs for time limits, and for the
warnings that job schedulers send before the end.
"""


_ALL_SIGNALS = tuple(map(int, signal.valid_signals()))


@contextmanager
def uninterrupted() -> Generator[None]:
    """Handle Ctrl-C, SIGTERM, SIGALRM, SIGUSR1, ... after the block, not inside it.

    Python runs handlers in the main thread alone, so nothing is done in other threads.
    Keep the block short, since Ctrl-C has no effect before its end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[tuple[int, FrameType | None]] = []
    handlers: dict[int, Any] = {}
    replaced: dict[int, Any] = {}
    # An exception may replace one of the calls of `restore`; the other is still made.
    try:
        try:
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    handlers[number] = replaced[number] = handler
                    signal.signal(number, lambda *caught: pending.append(caught))
            yield
        finally:
            _restore(replaced)
    finally:
        _restore(replaced)
    for number, frame in pending:
        handlers[number](number, frame)


def call_with_end(function: Callable[[], T], end: Callable[[], object]) -> T:
    """Call ``function``, then ``end`` in any case, and return the former's result.

    Ctrl-C at the wrong moment skips the end of a ``with`` block, and the call in a
    ``finally``. Therefore ``end`` is called again if it did not return, and must do
    nothing the second time.
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


def end_abandoned(error: BaseException) -> None:
    """End the ``with`` blocks that an interrupt left without calling their end.

    If Ctrl-C comes while `contextlib` begins to leave a block, the block's generator is
    kept suspended by the traceback of ``error``. It would end when the traceback is
    freed, which a notebook does at the next error: until then a lock stays locked, and
    autograd or garbage collection off.
    """
    cause: BaseException | None = error
    while cause is not None:
        frames = [frame for frame, _ in walk_tb(cause.__traceback__)]
        # Inner blocks end first, as usual.
        for frame in reversed(frames):
            if frame.f_code.co_filename == contextlib.__file__:
                frame.clear()
        cause = cause.__context__


def raise_of_signal(error: BaseException) -> None:
    """Raise ``error`` again if a signal handler raised it, for instance a time limit.

    Code that handles the errors of a user's function by going another way calls this
    first: the error of a handler is meant for the program, and is not a failure of the
    function.
    """
    if is_of_signal(error):
        raise error


def is_of_signal(error: BaseException) -> bool:
    """Return whether a signal handler raised ``error``."""
    handlers = [signal.getsignal(number) for number in _SIGNALS]
    codes = {getattr(_function_of(handler), "__code__", None) for handler in handlers}
    return any(frame.f_code in codes for frame, _ in walk_tb(error.__traceback__))


def has_handlers() -> bool:
    """Return whether any signal has a handler that may change values.

    Such code runs between any two lines of the main thread, and may change any object.
    """
    return any(map(_may_change_values, map(signal.getsignal, _ALL_SIGNALS)))


def _may_change_values(handler: object) -> bool:
    if not callable(handler) or handler is signal.default_int_handler:
        return False
    module: object = getattr(handler, "__module__", None)
    if not (isinstance(module, str) and module.startswith(_HARMLESS)):
        return True
    # Torch's handler calls the handler that it has replaced.
    cells: tuple[CellType, ...] = getattr(handler, "__closure__", None) or ()
    return any(_may_change_values(cell.cell_contents) for cell in cells)


_HARMLESS = (__name__.partition(".")[0] + ".", "torch.utils.data._utils.")
"""Modules whose handlers only raise, or record a signal.

These are ours, and that of torch's data loaders, which every program with workers has.
"""


class suppressed:  # its name is in lower case, like contextlib.suppress
    """A ``with`` block that suppresses these errors.

    Errors raised by signal handlers are passed on; see `raise_of_signal`.
    """

    def __init__(self, *kinds: type[Exception]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> bool:
        return isinstance(error, self._kinds) and not is_of_signal(error)


def leaving_nothing_open(function: Callable[P, R]) -> Callable[P, R]:
    """Make a public call end everything that it began, even when Ctrl-C comes."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            end_abandoned(error)
            raise

    return call


def _function_of(handler: object) -> object:
    """Return the function that is called for ``handler``, which may be any callable."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not callable(handler):
        return None
    function = handler if hasattr(handler, "__code__") else handler.__call__
    return getattr(function, "__func__", function)


def _restore(replaced: dict[int, Any]) -> None:
    while replaced:
        number, handler = next(iter(replaced.items()))
        signal.signal(number, handler)
        replaced.pop(number, None)
