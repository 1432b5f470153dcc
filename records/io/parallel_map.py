"""parallel_map: work for several threads, results in order, few of them waiting."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from .helpers import thread_count

_T = TypeVar("_T")
_R = TypeVar("_R")

_FEW = 32
"""Up to so many items are not worth the start of threads."""


def parallel_map(work: Callable[[_T], _R], items: Sequence[_T]) -> Iterator[_R]:
    """Return ``work`` of each item, in order; threads do the next ones meanwhile.

    For work that lets go of Python's lock. An exception of ``work`` is raised when its
    result is due, and the rest is not begun.
    """
    n_threads = thread_count()
    if len(items) <= _FEW or n_threads < 2:
        yield from map(work, items)
        return
    # A pool of its own: one that outlives this call would be dead after a fork.
    with ThreadPoolExecutor(n_threads, "burnish") as pool:
        waiting: deque[Future[_R]] = deque()
        try:
            for item in items:
                waiting.append(_begun(pool, work, item))
                if len(waiting) > n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _begun(
    pool: ThreadPoolExecutor, work: Callable[[_T], _R], item: _T
) -> "Future[_R]":
    """Return ``work`` of ``item`` as the pool does it, or done here if it cannot."""
    try:
        return pool.submit(work, item)
    except RuntimeError:
        # The process has as many threads as it may have, or Python is ending, and what
        # goes on in the background until then finds no pool that begins anything.
        future: Future[_R] = Future()
        future.set_result(work(item))
        return future
