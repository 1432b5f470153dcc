"""EndSignal: the signal by which a job scheduler ends a run, to be polled."""

import os
import signal
import threading
import weakref
from typing import Any

from ...records.processes.messages import is_any


class EndSignal:
    """Catches a signal instead of dying of it, until the run has finished a step.

    A second signal has its normal effect. Several objects may catch the same one, each
    until it is released or garbage.
    """

    def __init__(self, number: int) -> None:
        """ValueError outside of the main thread, or for an uncatchable signal."""
        self.number = _signal(number)
        if threading.current_thread() is not threading.main_thread():
            raise ValueError(
                f"on_signal={self.number.name}: Python handles signals only in "
                "the main thread; create the Checkpoints there"
            )
        self.has_come_here = False
        """Whether this process has received it."""
        handler = signal.getsignal(self.number)
        if not isinstance(handler, _Handler):
            handler = _Handler(self.number, handler)
        handler.waiting.add(self)

    def has_come(self) -> bool:
        """Return whether any of the processes that train together has received it."""
        return is_any(self.has_come_here)

    def release(self) -> None:
        """Restore the previous handler of the signal."""
        handler = signal.getsignal(self.number)
        if isinstance(handler, _Handler):
            handler.waiting.discard(self)
            if not handler.waiting:
                handler.end()

    def end(self) -> SystemExit:
        """Return the exception that ends the program, with the status of a signal."""
        return SystemExit(128 + self.number)


class _Handler:
    """The handler of a signal that is polled: once, and then the previous one."""

    def __init__(self, number: signal.Signals, before: Any) -> None:
        self.waiting: weakref.WeakSet[EndSignal] = weakref.WeakSet()
        # None is a handler that was not set by Python.
        self._number, self._before = number, before or signal.SIG_DFL
        self._pid = os.getpid()
        signal.signal(number, self)

    def end(self) -> None:
        """Restore the previous handler."""
        signal.signal(self._number, self._before)

    def __call__(self, number: int, frame: object) -> None:
        self.end()
        is_forked = os.getpid() != self._pid
        # A parent terminates its workers by SIGTERM. Other signals are sent to all
        # processes of a job, and a run needs its workers until it has saved.
        if number == signal.SIGTERM if is_forked else not self.waiting:
            os.kill(os.getpid(), number)
        elif not is_forked:
            for end_signal in [*self.waiting]:
                end_signal.has_come_here = True


def _signal(number: int) -> signal.Signals:
    unnotable = (signal.SIGKILL, signal.SIGSTOP)
    if number in unnotable or number not in [*signal.Signals]:
        why = "no program can catch it" if number in unnotable else "it is not a signal"
        raise ValueError(
            f"on_signal={number!r:.60}: {why}; pass one signal, as in "
            "on_signal=signal.SIGTERM, which job schedulers send"
        )
    return signal.Signals(number)
