"""parallel_map: work for several threads, with results in order and bounded queues."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from ...config.process.interrupts import uninterrupted
from ..tensors.torch_internals import computing_in_this_thread_alone
from .helpers import PATIENCE, Claim, may_have_help, start_helper, thread_count

_T = TypeVar("_T")
_R = TypeVar("_R")


def n_ahead() -> int:
    """Return how many items are taken, at most, before the result of one is due."""
    return 2 * thread_count() if may_have_help() else 0


def parallel_map(
    work: Callable[[_T], _R],
    items: Iterable[_T],
    *,
    ahead: int | None = None,
) -> Iterator[_R]:
    """Yield ``work`` of each item, in order; helpers do the next ones meanwhile.

    For work that releases Python's lock. This thread takes the items, ``ahead`` of them
    (None: `n_ahead`) before a result is requested, and works too instead of waiting. An
    exception of ``work`` is raised when its result is due.
    """
    ahead = n_ahead() if ahead is None else ahead
    if not ahead:
        yield from map(work, items)
        return
    jobs = _Jobs(work, ahead)
    try:
        yield from jobs.results(items)
    finally:
        jobs.end()


class _Job(Claim, Generic[_T]):
    """An item, and its result."""

    __slots__ = ("end", "error", "item", "result")

    def __init__(self, item: _T) -> None:
        super().__init__()
        self.item, self.end = item, threading.Event()
        self.result: list[object] = []
        self.error: BaseException | None = None


class _Jobs(Generic[_T, _R]):
    """The items that were taken and whose results are not due yet."""

    def __init__(self, work: Callable[[_T], _R], ahead: int) -> None:
        self._work, self._ahead = work, ahead
        self._waiting: SimpleQueue[_Job[_T] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._n_begun, self._n_threads = 0, thread_count()
        self._is_over = False

    def results(self, items: Iterable[_T]) -> Generator[_R]:
        begun: deque[_Job[_T]] = deque()
        iterator = iter(items)
        while True:
            # Torch's threads would take the cores that helpers work on.
            with computing_in_this_thread_alone():
                job = self._begin_next(iterator)
            if job is not None:
                begun.append(job)
            if not begun:
                return
            if job is None or len(begun) > self._ahead:
                yield self._result(begun.popleft())

    def end(self) -> None:
        """End the helpers, and wait for that."""
        self._is_over = True
        with uninterrupted():
            for _ in self._threads:
                self._waiting.put(None)
            for thread in self._threads:
                thread.join()

    def _begin_next(self, items: Iterator[_T]) -> "_Job[_T] | None":
        for item in items:
            job = _Job(item)
            self._waiting.put(job)
            self._n_begun += 1
            # This thread does the first one.
            if 1 < self._n_begun <= self._n_threads:
                start_helper(self._help, self._threads)
            return job
        return None

    def _result(self, job: _Job[_T]) -> _R:
        with computing_in_this_thread_alone():
            if job.claim():
                self._do(job)
            while not job.end.is_set():
                self._do_another_while_waiting(job)
        if job.error is not None:
            raise job.error
        result: _R = job.result[0]  # type: ignore[assignment]  # what work returned
        return result

    def _do_another_while_waiting(self, job: _Job[_T]) -> None:
        try:
            task = self._waiting.get_nowait()
        except Empty:
            # No helper runs in a process that was forked.
            has_ended = job.end.wait(PATIENCE)
            if not has_ended and not any(t.is_alive() for t in self._threads):
                self._do(job)
            return
        if task is not None and task.claim():
            self._do(task)

    def _help(self) -> None:
        while (job := self._waiting.get()) is not None and not self._is_over:
            if job.claim():
                self._do(job)

    def _do(self, job: _Job[_T]) -> None:
        try:
            job.result.append(self._work(job.item))
        except BaseException as error:
            job.error = error
        finally:
            job.end.set()
