"""SumsAhead: checksums that helpers compute before a load needs them."""

import threading
from collections import deque
from collections.abc import Iterable

import xxhash

from ...config.process.interrupts import uninterrupted
from .helpers import PATIENCE, Claim, may_have_help, start_helper, thread_count
from .lazy_payload import LazyPayload
from .source import Maps

_FEW = 8 << 20
"""Bytes that are hashed before a thread has started."""
_SHORT = 64 << 10
"""A payload up to this many bytes is hashed where it is read."""
_CHUNK = 4 << 20
"""Bytes after which a helper checks whether it has to end."""


class SumsAhead:
    """Lets helpers hash what a load will read, from ``begin`` to ``end``.

    A checksum is compared where the payload is read, as if it had been computed there:
    so errors are the same, and no value is used before. What no helper has begun, the
    load hashes itself; while it waits for one, it hashes the last ones.
    """

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._jobs: dict[int, _Job] = {}
        self._waiting: deque[_Job] = deque()
        self._threads: list[threading.Thread] = []
        self._is_over = False

    def begin(self, payloads: Iterable[object]) -> None:
        """Start to hash those of ``payloads`` that are in mapped files."""
        if not may_have_help():
            return
        for payload in payloads:
            if isinstance(payload, LazyPayload):
                self._add(payload)
        if sum(len(job.data) for job in self._jobs.values()) < _FEW:
            return
        self._waiting.extend(self._jobs.values())
        self._maps.sums_ahead = self
        for _ in range(thread_count() - 1):
            start_helper(self._work, self._threads)

    def digest(self, payload: LazyPayload, data: memoryview) -> bytes:
        """Return the checksum of ``data``, the bytes of ``payload`` in the map."""
        job = self._jobs.get(id(payload))
        if job is None or job.claim():
            return xxhash.xxh3_64_digest(data)
        while job.digest is None and self._has_helpers():
            # This thread does other work as long as there is some.
            next_payload = self._next(from_end=True)
            if next_payload is None:
                job.has_digest.wait(PATIENCE)
            else:
                self._hash(next_payload)
        return job.digest or xxhash.xxh3_64_digest(data)

    def end(self) -> None:
        """End the helpers, and wait for that."""
        self._is_over = True
        with uninterrupted():
            for thread in self._threads:
                thread.join()
        self._maps.sums_ahead = None
        self._jobs.clear()
        self._waiting.clear()

    def _add(self, payload: LazyPayload) -> None:
        is_whole = len(payload.pieces) == 1 and not payload.is_planes
        if not is_whole or payload.sum is None or not payload.source.verify:
            return
        offset, count = payload.pieces[0]
        if count > _SHORT:
            data = self._maps.mapped_bytes(payload.source, offset, count)
            if data is not None:
                self._jobs[id(payload)] = _Job(data)

    def _work(self) -> None:
        while (job := self._next(from_end=False)) is not None:
            self._hash(job)

    def _next(self, *, from_end: bool) -> "_Job | None":
        """Return a job that was not begun, which is the caller's from now on."""
        try:
            while not self._is_over:
                job = self._waiting.pop() if from_end else self._waiting.popleft()
                if job.claim():
                    return job
        except IndexError:
            pass
        return None

    def _hash(self, job: "_Job") -> None:
        total = xxhash.xxh3_64()
        for start in range(0, len(job.data), _CHUNK):
            if self._is_over:
                return
            total.update(job.data[start : start + _CHUNK])
        job.digest = total.digest()
        job.has_digest.set()

    def _has_helpers(self) -> bool:
        """Return whether one still runs: none does in a process that was forked."""
        return any(thread.is_alive() for thread in self._threads)


class _Job(Claim):
    """The bytes of a payload, and their checksum once it is known."""

    __slots__ = ("data", "digest", "has_digest")

    def __init__(self, data: memoryview) -> None:
        super().__init__()
        self.data = data
        self.digest: bytes | None = None
        self.has_digest = threading.Event()
