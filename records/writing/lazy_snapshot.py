"""LazySnapshot: tensors that stay in place until they are written or changed."""

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import torch
import xxhash

from ...config.process.interrupts import uninterrupted
from ..errors import RecordError
from ..io.save_handle import SnapshotReport
from ..tensors.grad_mode import ordinary_tensors
from ..tensors.memory import contiguous_address
from ..tensors.torch_internals import tensor_version
from .spare_memory import CopyRoom, SpareMemory

if TYPE_CHECKING:
    from ..io.source import Maps

T = TypeVar("T")

Take: TypeAlias = Callable[[torch.dtype, int], torch.Tensor]
"""Returns memory for a number of values of a dtype."""

SEGMENT = 1 << 20
"""Bytes that are read, or copied away, in one step."""


class LazySnapshot:
    """Values at one moment, which are not copied until they are about to change.

    A writer reads each held tensor segment by segment. Code that is about to change
    values calls `settle`, which copies what is not yet read, as far as there is memory,
    and waits for the writer to read the rest. A change without that call is noticed,
    and the writer gets an error.
    """

    def __init__(self, memory: SpareMemory, report: SnapshotReport) -> None:
        self.report = report
        # A Condition is written in Python, where Ctrl-C may leave it locked.
        self.lock = threading.Lock()
        """Held while values are read or copied, and while the state of that changes.

        A signal handler runs before or after, never in between: if it saves, it waits
        for the writer, and the writer for this lock.
        """
        self.error: RecordError | None = None
        """Why the values of that moment are no longer available."""
        self.is_settled = False
        """Whether values may change: the rest is read from copies."""
        self._spare = memory
        self._memory: CopyRoom | None = None
        self._sources: list[HeldTensor] = []
        self._n_closed = 0
        self._is_awaited, self._is_over = False, False
        self._news: SimpleQueue[None] = SimpleQueue()
        """Wakes waiting threads: something was read, or reading has ended."""
        self._turn = threading.Lock()
        self._taker: threading.Thread | None = None
        self._writer: threading.Thread | None = None

    def hold(self, path: str, tensor: torch.Tensor) -> "HeldTensor":
        """Return a reader of the present values of an ordinary ``tensor``."""
        source = HeldTensor(self, path, tensor)
        self._sources.append(source)
        self.report.n_held += source.size
        return source

    def take(self, hold: Callable[[], T]) -> T:
        """Return the result of ``hold``; code that will change values waits for it.

        After that it waits for a writer: `abandon` this if there will be none.
        """
        with self._turn:
            self._taker = threading.current_thread()
            # It is registered before the first tensor is held: a step that begins in
            # between finds it there, and waits.
            _pending.append(self)
            result = hold()
            self._taker = None
            return result

    def hash_ahead(self) -> None:
        """Hash everything held, until a thread waits: later changes are noticed.

        For the thread that reads the values afterwards.
        """
        self._writer = threading.current_thread()
        for source in self._sources:
            if not source.hash_ahead():
                return

    @property
    def is_awaited(self) -> bool:
        """Whether a thread waits for values to be read, or reading has ended."""
        return self._is_awaited or self._is_over

    def settle(self) -> None:
        """Return once the held values may change."""
        if self.is_settled:
            return
        if threading.current_thread() is self._taker:
            raise RuntimeError("a step or a load inside of a save_record, which copies")
        begun = time.perf_counter()
        # A step in another thread waits for the copies of the first one.
        with self._turn:
            if not self.is_settled:
                self._is_awaited = True
                self._copy_unread()
                if threading.current_thread() is self._writer:
                    self._check_room()
                self._wait_for_reads()
            self.report.seconds_held_up += time.perf_counter() - begun

    def abandon(self) -> None:
        """Record that changes are no longer waited for: the writer must stop."""
        with uninterrupted(), self.lock:
            self.error = self.error or RecordError("the save was interrupted")
            self._close()

    def end(self) -> None:
        """Release everything; reading has ended."""
        with self.lock:
            self._close()
            self._sources.clear()
        if self._memory is not None:
            self._spare.give_back(self._memory)
            self._memory = None

    def _close(self) -> None:
        self._is_over = self.is_settled = True
        if self in _pending:
            _pending.remove(self)
        self._news.put(None)

    def tell(self) -> None:
        """Signal that something was read, while the lock is held."""
        if self._is_awaited:
            self._news.put(None)

    def _copy_unread(self) -> None:
        """Copy from the end, while the writer reads from the beginning."""
        with uninterrupted(), self.lock:
            n_bytes = sum(source.n_unread for source in self._sources)
        room = self._room(n_bytes)
        for source in reversed(self._sources):
            while room is not None and self._copy_last(source, room):
                pass

    def _copy_last(self, source: "HeldTensor", room: CopyRoom) -> bool:
        """Copy a segment, if one is needed and there is memory for it."""
        with uninterrupted(), self.lock:
            size = 0 if self._is_over else source.last_segment
            target = room.take(size) if size else None
            if target is None:
                return False
            source.copy_last(target)
            self.report.n_copied_later += size
            return True

    def _room(self, n_bytes: int) -> CopyRoom | None:
        if self._memory is None:
            # A writer that steps would wait for itself.
            is_writer = threading.current_thread() is self._writer
            self._memory = self._spare.take(n_bytes, is_limited=not is_writer)
        return self._memory

    def _check_room(self) -> None:
        """Raise MemoryError if the reading thread would wait for itself."""
        with uninterrupted(), self.lock:
            if not self._are_closed():
                raise MemoryError("no memory to copy what is being saved")

    def _wait_for_reads(self) -> None:
        while not self._has_settled():
            self._news.get()

    def _has_settled(self) -> bool:
        with uninterrupted(), self.lock:
            self.is_settled = self._is_over or self._are_closed()
            return self.is_settled

    def _are_closed(self) -> bool:
        """Return whether everything is read or copied, which is final."""
        sources = self._sources
        # A step calls this after every segment: a closed source is not checked twice.
        while self._n_closed < len(sources) and not sources[self._n_closed].n_unread:
            self._n_closed += 1
        return self._n_closed == len(sources)


class HeldTensor:
    """The values that a tensor had when it was held, for a writer that reads them once.

    It is the source of an entry. The memory is kept, whatever happens to the tensor.
    """

    is_live = True
    """Other programs may have the memory; see `Payload.load`."""

    def __init__(self, snapshot: LazySnapshot, path: str, tensor: torch.Tensor) -> None:
        self.path = path
        # It has the memory and the version of the tensor, even after `tensor.data = x`.
        self._tensor = tensor.detach()
        self._address, self.size = self._tensor.data_ptr(), self._tensor.nbytes
        self._version_then = tensor_version(self._tensor)
        self._snapshot = snapshot
        self._n_segments = -(-self.size // SEGMENT)
        self._position, self._n_readings = 0, 1
        self._copied_from, self._copies = self._n_segments, dict[int, int]()
        self._first_hash: bytes | None = None

    def load(self, maps: "Maps | None" = None) -> torch.Tensor:
        """Return the values in memory of their own."""
        with ordinary_tensors():
            pieces = [*self.pieces(_new_room, SEGMENT)]
        return torch.cat(pieces).view(self._tensor.shape)

    def read_again(self) -> None:
        """Announce that a reading is not the last one."""
        with self._snapshot.lock:
            self._n_readings += 1

    def pieces(self, take: Take, most: int) -> Iterator[torch.Tensor]:
        """Yield the values as flat tensors of ``most`` bytes, in memory from ``take``.

        Only the last one is shorter. ``most`` are whole segments. RecordError for
        values that are no longer available.
        """
        self._position, digest = 0, xxhash.xxh3_64()
        itemsize = self._tensor.dtype.itemsize
        for start in range(0, self.size, most):
            size = min(most, self.size - start)
            out = take(self._tensor.dtype, size // itemsize)
            for offset in range(0, size, SEGMENT):
                self._read((start + offset) // SEGMENT, out.data_ptr() + offset)
            # If a thread waited before the first hash, there is nothing to compare
            # with.
            if self._first_hash is not None:
                digest.update(_bytes_at(out.data_ptr(), size))
                if start + size == self.size:
                    self._compare(digest.digest())
            yield out

    def hash_ahead(self) -> bool:
        """Hash the values; False if a thread waits for them to be read."""
        digest = xxhash.xxh3_64()
        for i in range(self._n_segments):
            with self._snapshot.lock:
                if self._snapshot.is_awaited:
                    return False
                self._check()
                digest.update(_bytes_at(self._address + i * SEGMENT, self._size_of(i)))
        self._first_hash = digest.digest()
        return True

    @property
    def n_unread(self) -> int:
        """Bytes that a writer has yet to read from the tensor itself."""
        stop = min(self._copied_from * SEGMENT, self.size)
        return max(0, stop - self._next * SEGMENT)

    @property
    def last_segment(self) -> int:
        """Bytes that `copy_last` would copy; 0 if none are needed."""
        segment = self._copied_from - 1
        return 0 if segment < self._next else self._size_of(segment)

    def copy_last(self, target: int) -> None:
        """Copy the last segment that has no copy to ``target``; errors are kept."""
        segment = self._copied_from - 1
        try:
            self._copy(segment, target)
        except RecordError as error:
            # The writer raises it, since the stepping thread has done nothing wrong.
            self._snapshot.error = self._snapshot.error or error
        self._copies[segment] = target
        self._copied_from = segment

    @property
    def _next(self) -> int:
        """The first segment that is still needed."""
        if self._n_readings == 1:
            return self._position
        return 0 if self._n_readings else self._n_segments

    def _read(self, i: int, target: int) -> None:
        # The lock is held for one segment, since a step may be waiting for it.
        with self._snapshot.lock:
            if i in self._copies:
                self._raise_error()
                ctypes.memmove(target, self._copies[i], self._size_of(i))
            else:
                self._copy(i, target)
            self._position = i + 1
            if self._position == self._n_segments:
                self._n_readings = max(0, self._n_readings - 1)
                self._position = 0
            self._snapshot.tell()

    def _copy(self, i: int, target: int) -> None:
        """Copy a segment of the tensor's own memory; RecordError if it was changed."""
        self._check()
        ctypes.memmove(target, self._address + i * SEGMENT, self._size_of(i))
        # A change that began after the first check may be in half of the copy.
        self._check()

    def _check(self) -> None:
        self._raise_error()
        if self._snapshot.is_settled:
            raise RecordError(
                f"{self.path}: its values are needed again, but a step or a load has "
                "changed them since. Save with snapshot='copy'"
            )
        tensor = self._tensor
        # Memory that was freed or resized must not be read.
        address = contiguous_address(tensor)
        if (address, tensor.nbytes) != (self._address, self.size):
            raise self._changed("its memory was freed or resized")
        version = tensor_version(tensor)
        if version != self._version_then:
            raise self._changed(
                "it was written to: its version is "
                f"{version} and was {self._version_then}"
            )

    def _compare(self, digest: bytes) -> None:
        if self._first_hash != digest:
            raise self._changed("its bytes differ from those first read")

    def _raise_error(self) -> None:
        if self._snapshot.error is not None:
            raise self._snapshot.error

    def _changed(self, how: str) -> RecordError:
        return RecordError(
            f"{self.path}: its values changed before they were in the file "
            f"({how}). With snapshot='lazy' only optimizer steps and load_record "
            "may change what is being saved; call wait() for the save before "
            "anything else does, or save with snapshot='copy'. What was saved "
            "there before is unchanged"
        )

    def _size_of(self, i: int) -> int:
        return min(SEGMENT, self.size - i * SEGMENT)


def settle_snapshots() -> None:
    """Return once no save needs the present values: called before they are changed.

    Without a lazy save in progress, it returns immediately.
    """
    if _pending:
        for snapshot in tuple(_pending):
            snapshot.settle()


_pending: list[LazySnapshot] = []
"""Snapshots that a writer reads."""


# In a process forked while a writer was at work, the writers belong to its parent.
os.register_at_fork(after_in_child=_pending.clear)


def _new_room(dtype: torch.dtype, count: int) -> torch.Tensor:
    return torch.empty(count, dtype=dtype, device="cpu")


def _bytes_at(address: int, size: int) -> memoryview:
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")
