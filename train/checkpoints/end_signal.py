"""EndSignal: the signal by which a scheduler of jobs ends a run, as a question."""

import os
import signal
import threading
from typing import Any

from ...records.processes.messages import is_any


class EndSignal:
    """Notes a signal instead of dying of it, until the run has come to a whole step.

    A second one ends the program as it would have without this. Processes that are
    forked meanwhile (the workers of a loader) end at once.
    """

    def __init__(self, number: int) -> None:
        """ValueError outside of the main thread, or for what no program can note."""
        self.number = _signal(number)
        if threading.current_thread() is not threading.main_thread():
            raise ValueError(
                f"on_signal={self.number.name}: Python lets the main thread alone say "
                "what a signal does; make the Checkpoints there"
            )
        self._pid = os.getpid()
        self.has_come_here = False
        """Whether it has come to this process."""
        self._before: Any = signal.signal(number, self._note)

    def has_come(self) -> bool:
        """Return whether it has come, in any of the processes that train together."""
        return is_any(self.has_come_here)

    def release(self) -> None:
        """Let the signal do again what it did before."""
        if signal.getsignal(self.number) == self._note:
            signal.signal(self.number, self._before)

    def end(self) -> SystemExit:
        """Return what ends the program, with the status that shells give a signal."""
        return SystemExit(128 + self.number)

    def _note(self, number: int, frame: object) -> None:
        # What was there before may be None, which is a handler that Python did not set.
        signal.signal(number, self._before or signal.SIG_DFL)
        if os.getpid() == self._pid:
            self.has_come_here = True
        else:
            os.kill(os.getpid(), number)


def _signal(number: int) -> signal.Signals:
    unnotable = (signal.SIGKILL, signal.SIGSTOP)
    if number in unnotable or number not in [*signal.Signals]:
        why = "no program can note it" if number in unnotable else "it is no signal"
        raise ValueError(
            f"on_signal={number!r:.60}: {why}; schedulers of jobs send "
            "on_signal=signal.SIGTERM, and one signal is noted"
        )
    return signal.Signals(number)
