"""Pipeline: one thread converts and hashes while another one writes."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import TypeAlias

from ...config.process.interrupts import uninterrupted
from ..io.helpers import start_helper
from ..io.sink import Buffer, Sink

_Call: TypeAlias = Callable[[], object]
_Item: TypeAlias = Sequence[Buffer] | _Call | BaseException | None


class Pipeline:
    """A sink for a helper thread, whose content the caller's thread writes.

    Only the caller's thread uses the real sink: its errors, Ctrl-C and streams of users
    occur where they would without a helper, and no file is closed under a thread that
    writes to it.
    """

    def __init__(self, sink: Sink, *, has_helper: bool) -> None:
        """Without a helper, the caller's thread does everything."""
        self._sink, self.has_helper = sink, has_helper
        self.depth = _DEPTH if has_helper else 0
        """Number of writes queued or in progress while the next one is prepared."""
        # SimpleQueue is written in C: Ctrl-C leaves it neither locked nor half changed.
        self._ready: SimpleQueue[_Item] = SimpleQueue()
        # A write takes a slot and returns it when it is done, so that the helper never
        # refills a buffer that is still being written.
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(self.depth):
            self._room.put(None)
        self._turn: SimpleQueue[None] = SimpleQueue()
        self._is_callers_turn = not has_helper
        self._is_over = False

    def run(self, prepare: _Call) -> None:
        """Let a helper call ``prepare``, and write what it writes to this sink.

        An error of ``prepare`` is raised here, after everything that came before it.
        The helper has ended when this returns or raises.
        """
        threads: list[threading.Thread] = []
        try:
            if self.has_helper and start_helper(
                partial(self._prepare, prepare), threads
            ):
                while (item := self._ready.get()) is not None:
                    self._take(item)
            else:
                self._is_callers_turn = True
                prepare()
        finally:
            # After an error of the real sink the helper waits for a slot; it has to end
            # before its owner closes what it reads from.
            with uninterrupted():
                self._end(threads)

    def writev(self, buffers: Sequence[Buffer]) -> None:
        """Queue ``buffers`` for writing; wait while `depth` writes are pending."""
        if self._is_callers_turn:
            self._sink.writev(buffers)
        else:
            self._wait_for(self._room)
            self._ready.put(buffers)

    def call_in_turn(self, function: _Call) -> None:
        """Let the caller's thread call ``function`` after everything written so far."""
        if self._is_callers_turn:
            function()
        else:
            self._ready.put(function)

    def call_and_wait(self, function: _Call) -> None:
        """Do the same, and return when it has; it may write to this sink meanwhile."""
        if self._is_callers_turn:
            function()
        else:
            self._ready.put(partial(self._give_turn, function))
            self._wait_for(self._turn)

    def _prepare(self, prepare: _Call) -> None:
        try:
            prepare()
        except BaseException as error:
            # Without an item, even for this error, the caller would wait forever.
            self._ready.put(error)
        else:
            self._ready.put(None)

    def _take(self, item: Sequence[Buffer] | _Call | BaseException) -> None:
        if isinstance(item, BaseException):
            raise item
        if callable(item):
            item()
        else:
            self._sink.writev(item)
            self._room.put(None)

    def _give_turn(self, function: _Call) -> None:
        # The helper waits meanwhile, so that what ``function`` writes is next in order.
        self._is_callers_turn = True
        function()
        self._is_callers_turn = False
        self._turn.put(None)

    def _wait_for(self, signal: "SimpleQueue[None]") -> None:
        signal.get()
        if self._is_over:
            raise _OverError

    def _end(self, threads: list[threading.Thread]) -> None:
        """Let the helper go no further than its next write, and wait for that."""
        self._is_over = True
        self._room.put(None)
        self._turn.put(None)
        for thread in threads:
            thread.join()


_DEPTH = 2
"""One is written and one waits: more would only take memory."""


class _OverError(Exception):
    """The caller's thread stops writing, because of an error that it raises itself."""
