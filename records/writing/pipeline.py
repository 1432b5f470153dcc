"""Pipeline: one thread converts and hashes what another one writes meanwhile."""

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
    """What a helper writes to, and whose content the caller's thread writes.

    Only that thread meets the real sink: what goes wrong there, Ctrl-C and streams of
    users are where they would be without a helper, and no file is closed under a
    thread that writes to it.
    """

    def __init__(self, sink: Sink, *, has_helper: bool) -> None:
        """Without a helper, the caller's thread does all."""
        self._sink, self.has_helper = sink, has_helper
        self.depth = _DEPTH if has_helper else 0
        """Writes that wait or go on while the next one is prepared."""
        # SimpleQueue is written in C: Ctrl-C leaves it neither locked nor half changed.
        self._ready: SimpleQueue[_Item] = SimpleQueue()
        # A write takes a place and gives it back when it is done, so that the helper
        # never fills a buffer again which is still being written.
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(self.depth):
            self._room.put(None)
        self._turn: SimpleQueue[None] = SimpleQueue()
        self._is_callers_turn = not has_helper
        self._is_over = False

    def run(self, prepare: _Call) -> None:
        """Have a helper call ``prepare``, and write what it writes to this sink.

        What ``prepare`` raises is raised here, behind all that came before it. The
        helper has ended when this returns or raises.
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
            # An error of the real sink leaves the helper waiting for room; it has to
            # end before its owner closes what it reads from.
            with uninterrupted():
                self._end(threads)

    def writev(self, buffers: Sequence[Buffer]) -> None:
        """Have ``buffers`` written in their turn: before `depth` more were taken."""
        if self._is_callers_turn:
            self._sink.writev(buffers)
        else:
            self._wait_for(self._room)
            self._ready.put(buffers)

    def call_in_turn(self, function: _Call) -> None:
        """Have the caller's thread call ``function`` behind what was written so far."""
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
            # Whatever it is, the caller waits for an item and would wait for ever.
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
        """Let the helper go no further than to its next write, and wait for that."""
        self._is_over = True
        self._room.put(None)
        self._turn.put(None)
        for thread in threads:
            thread.join()


_DEPTH = 2
"""One is written and one waits: more would only take more memory."""


class _OverError(Exception):
    """The caller's thread writes no more, for a reason that it raises itself."""
