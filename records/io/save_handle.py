"""SaveHandle: a save written by a thread while the program continues."""

import atexit
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

from ...config.process.interrupts import uninterrupted
from .remote.url import Url, path_or_url

T_co = TypeVar("T_co", covariant=True)


@dataclass(slots=True)
class SnapshotReport:
    """What a save copied, and how long it blocked the program."""

    n_copied_at_once: int = 0
    """Bytes that the call itself copied, before it returned."""
    n_held: int = 0
    """Bytes that were left in place, to be written from there."""
    n_copied_later: int = 0
    """Bytes of these that were copied before a step or a load."""
    seconds_held_up: float = 0.0
    """How long steps and loads waited in total: for the copies, and for the file."""


class SaveHandle(Generic[T_co]):
    """A save in progress in a thread of its own, which can be waited for.

    The program does not end before the save has. Its error is raised by `wait`; if that
    is not called, it is printed when the program ends.
    """

    def __init__(
        self,
        write: Callable[[], T_co],
        place: str | os.PathLike[str],
        report: SnapshotReport | None = None,
    ) -> None:
        self.place = _place(place)
        """The file or folder that is written, or the URL."""
        self.report = report or SnapshotReport()
        """What was copied, and what was blocked by that."""
        self._write: Callable[[], T_co] | None = write
        self._result: T_co | None = None
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None
        self._pid = os.getpid()
        self._has_ended = False
        # An Event is written in Python, where Ctrl-C may leave it locked forever.
        self._going_on = threading.Lock()
        self._thread = _SaveThread(self)

    def start(self) -> None:
        """Start writing; if no thread can be started, write before this returns."""
        self._going_on.acquire()
        has_thread = False
        # Interrupted, the new thread could not report that it has started.
        with uninterrupted():
            # In exit handlers of a program, Python waits for no thread: it would be
            # stopped in the middle.
            if threading.main_thread().is_alive():
                # The process may be at the system's limit of threads.
                with suppress(RuntimeError):
                    self._thread.start()
                    has_thread = True
        if not has_thread:
            self.run()
            if not isinstance(self._error, Exception | None):
                self.wait()  # an interrupt, which is the caller's

    @property
    def has_begun(self) -> bool:
        """Whether a thread writes, or has written."""
        return self._thread.ident is not None or self._has_ended

    def done(self) -> bool:
        """Return whether the save has ended, successfully or not."""
        return self._has_ended

    def wait(self, timeout: float | None = None) -> T_co:
        """Return once everything is on the disk, or raise the error of the save.

        TimeoutError after ``timeout`` seconds; the save continues. RuntimeError in a
        process that was forked during it: the save belongs to its parent.
        """
        self.join(timeout)
        if not self.has_begun and timeout is None:
            raise RuntimeError(f"{self.place}: the save never started; save again")
        if not self._has_ended:
            raise TimeoutError(
                f"{self.place}: not yet written after {timeout:g} s; the save continues"
            )
        if self._error is not None:
            _unseen_failures.discard(self)
            # The same error may be raised again, without the frames of the last time.
            raise self._error.with_traceback(self._traceback)
        return self._result  # type: ignore[return-value]  # what `write` returned

    def join(self, timeout: float | None = None) -> None:
        """Return once the save has ended, or after ``timeout``; its error is kept.

        RuntimeError if it could never end.
        """
        if self.is_parents:
            raise RuntimeError(
                f"{self.place}: this save belongs to process {self._pid}, from which "
                "this one was forked during the save; wait for it there"
            )
        if threading.current_thread() is self._thread:
            raise RuntimeError(f"{self.place}: a save cannot wait for itself to end")
        end = None if timeout is None else time.monotonic() + timeout
        # An interrupt may have come before its thread started.
        while self.has_begun and not self._has_ended:
            seconds = _LOOK if end is None else min(_LOOK, end - time.monotonic())
            # An interrupt between these two calls leaves it locked: other waiting
            # threads check again.
            if self._going_on.acquire(timeout=max(0.0, seconds)):
                self._going_on.release()
            elif seconds < _LOOK:
                return

    @property
    def has_unseen_error(self) -> bool:
        """Whether the save failed, and `wait` has not raised the error yet."""
        return self in _unseen_failures

    @property
    def succeeded(self) -> bool:
        """Whether the save has ended, and everything is on the disk."""
        return self._has_ended and self._error is None

    @property
    def is_parents(self) -> bool:
        """Whether this process was forked while its parent was writing the save."""
        return not self._has_ended and os.getpid() != self._pid

    def __repr__(self) -> str:
        state = "running" if not self.done() else "failed" if self._error else "done"
        return f"SaveHandle({self.place!r}, {state})"

    def run(self) -> None:
        """Write, in the calling thread; an error is kept."""
        write, self._write = self._write, None
        assert write is not None  # a save is started once
        try:
            self._result = write()
        except BaseException as error:
            _clear_frames(error)
            self._error, self._traceback = error, error.__traceback__
        # What it wrote may be large, and waiting threads continue when this is set.
        del write
        if self._error is not None:
            _unseen_failures.add(self)
        self._has_ended = True
        self._going_on.release()
        # At the end of a program it may still be waited for until its main thread ends.
        if self._error is not None and not threading.main_thread().is_alive():
            self.print_error()

    def print_error(self) -> None:
        """Print to stderr an error that can no longer be raised."""
        _unseen_failures.discard(self)
        if self._error is not None and sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]  # None under pythonw
            print(
                f"burnish: {self.place} was not saved, and wait() was never called:",
                file=sys.stderr,
            )
            traceback.print_exception(self._error)


_LOOK = 1.0
"""Seconds after which a waiting thread checks whether the save has ended unnoticed."""


def join_saves(place: str | os.PathLike[str]) -> None:
    """Return once nothing is being written to ``place``; errors stay with the saves."""
    handles = saves_going_on()
    if handles:
        file = _place(place)
        for handle in handles:
            if handle.place == file:
                handle.join()


def _place(file: str | os.PathLike[str]) -> str:
    """Return the canonical name of a place."""
    place = path_or_url(file)
    return place if isinstance(place, Url) else os.path.realpath(place)


def _clear_frames(error: BaseException) -> None:
    """Release what the frames of an error hold: a copy of everything saved."""
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__context__


class _SaveThread(threading.Thread):
    """The thread of one save; never a daemon, even if started by one: Python waits."""

    def __init__(self, handle: SaveHandle[Any]) -> None:
        super().__init__(name="burnish save", daemon=False)
        self.handle = handle

    def run(self) -> None:
        self.handle.run()


def saves_going_on() -> list[SaveHandle[Any]]:
    """Return the saves in progress in other threads of this process."""
    # Python's own list of threads: it never contains a thread that did not start, and a
    # child has none of its parent's.
    return [
        thread.handle
        for thread in threading.enumerate()
        if isinstance(thread, _SaveThread) and thread is not threading.current_thread()
    ]


_unseen_failures: set[SaveHandle[Any]] = set()
"""Saves whose error was not raised yet; there is no lock that could stay locked."""


def _join_all() -> None:
    for handle in saves_going_on():
        handle.join()


def _print_errors() -> None:
    for handle in [*_unseen_failures]:
        handle.print_error()


# A child forked in the middle of a save would have its locks and its open temporary,
# and no thread to close them. If the wait is interrupted the child does not touch the
# save either.
os.register_at_fork(before=lambda: _join_all(), after_in_child=_unseen_failures.clear)

# Python has waited for the threads by then.
atexit.register(_print_errors)
