"""BatchWriter: writes payloads unchanged to a sink, with few system calls."""

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
import xxhash

from ..entries.entry import Entry
from ..errors import PrecisionError
from ..io.sink import Buffer
from ..precision import RecordPrecision
from ..tensors.conversion import convert
from ..tensors.memory import ORDINARY
from .lazy_snapshot import HeldTensor
from .payload import (
    CHUNK,
    Scratch,
    byte_view,
    is_piecewise,
    is_plain,
    is_private,
    is_undisturbed,
    pieces,
    resized,
    row_of,
    stored_tensor,
)
from .pipeline import Pipeline
from .sums import Sums

_SMALL = CHUNK // 4
"""Entries up to this many bytes share system calls."""

_MANY = 4096
"""Maximal number of gathered entries: for tiny ones the objects take the memory."""

_GROUP = CHUNK // 2
"""Bytes that small entries are converted to in one call.

With the values that they come from, twice as many, they fit a core's own cache.
"""

_SHORT = 1 << 10
"""Copying so few bytes costs less than finding out that no copy is needed."""


class BatchWriter:
    """Writes payloads unchanged; small ones share system calls and conversions.

    The bytes hashed are those written: memory that may change in between is copied, and
    the copy is hashed and written. That costs 5 % of a save, so it is avoided where
    nothing can change the memory.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        precision: RecordPrecision,
        sums: Sums,
        *,
        at_once: bool,
        is_alone: bool,
    ) -> None:
        """``at_once``: only the library's code runs between hash and write.

        ``is_alone``: only the library's code runs while values are read.
        """
        self._pipeline = pipeline
        self._precision, self._sums = precision, sums
        self._at_once, self._is_alone = at_once, is_alone
        self._is_undisturbed = False
        self._buffers: list[Buffer] = []
        # Buffers are bare addresses: the tensors that own them must outlive the write.
        self._alive: list[torch.Tensor] = []
        self._n_waiting = 0
        self._digests: list[tuple[int, bytes]] = []
        self._group: list[tuple[int, Entry, int, bytes]] = []
        self._group_types: tuple[torch.dtype, torch.dtype] | None = None
        self._group_size = self._group_address = 0
        self._gathered, self._group_values = Scratch(), torch.empty(0, device="cpu")
        self._scratch = Scratch(pipeline.depth + 1)

    def add(
        self, number: int, entry: Entry, dtype: torch.dtype, size: int, frame: bytes
    ) -> None:
        """Write ``frame`` and the entry's payload of ``size`` bytes."""
        # The usual case first: a live contiguous tensor is written directly, without
        # the checks of `stored_tensor`.
        tensor: Any = entry.reading_source()
        address = row_of(tensor) if type(tensor) in ORDINARY else 0
        if address:
            self._add(number, entry, tensor, address, dtype, size, frame)
        elif isinstance(tensor, HeldTensor) or (size > _SMALL and is_piecewise(entry)):
            self._write_parts(number, entry, dtype, size, (frame,))
        else:
            add = partial(self._add_stored, number, entry, dtype, size, frame)
            self._where_it_can_be_read(entry, add)

    def add_parts(
        self,
        number: int,
        entry: Entry,
        dtype: torch.dtype,
        size: int,
        frames: Sequence[bytes],
        part_size: int,
    ) -> None:
        """Write it with a frame before each ``part_size`` bytes of the payload."""
        write = partial(
            self._write_parts, number, entry, dtype, size, frames, part_size
        )
        self._where_it_can_be_read(entry, write)

    def flush(self) -> None:
        """Write the gathered entries."""
        self._close_group()
        self._write_buffers()

    def _where_it_can_be_read(self, entry: Entry, write: Callable[[], object]) -> None:
        """Call ``write`` in the thread of the save, unless any thread can read it.

        Modes and streams belong to a thread, and a subclass runs users' code.
        """
        source = entry.reading_source()
        is_held = isinstance(source, HeldTensor)
        if is_held or not self._pipeline.has_helper or is_plain(source):
            write()
            return
        self.flush()

        def write_out() -> None:
            write()
            self.flush()

        self._pipeline.call_and_wait(write_out)

    def _add_stored(
        self, number: int, entry: Entry, dtype: torch.dtype, size: int, frame: bytes
    ) -> None:
        tensor = stored_tensor(entry)
        self._add(number, entry, tensor, row_of(tensor), dtype, size, frame)

    def _add(
        self,
        number: int,
        entry: Entry,
        tensor: torch.Tensor,
        address: int,
        dtype: torch.dtype,
        size: int,
        frame: bytes,
    ) -> None:
        if tensor.shape != entry.shape:
            raise resized(entry, tensor)
        # Booleans take the slow path, since views may have bytes other than 0 and 1.
        is_short = size + len(frame) <= _SMALL and dtype is not torch.bool
        if not (is_short and (address or not size)):
            self._write_parts(number, entry, dtype, size, (frame,))
        elif tensor.dtype is dtype:
            self._add_small(number, tensor, address, size, frame)
        elif entry.kind in self._precision.zeroable:
            # A group is converted in one call, which does not show in which entry
            # values became 0: so only entries for which that is not counted join it.
            self._add_to_group(number, entry, tensor, address, dtype, size, frame)
        else:
            self._write_parts(number, entry, dtype, size, (frame,))

    def _write_parts(
        self,
        number: int,
        entry: Entry,
        dtype: torch.dtype,
        size: int,
        frames: Sequence[bytes],
        part_size: int = sys.maxsize,
    ) -> None:
        """Write an entry chunk by chunk, a frame before each ``part_size`` bytes."""
        self.flush()
        # The checksum must be known before the last chunk is written: a payload that
        # changed since its first reading is refused while the file can still be
        # discarded.
        total, following = xxhash.xxh3_64(), iter(frames)
        n_room, n_left = part_size, size
        # A frame is written together with what follows it.
        waiting: list[Buffer] = [next(following)]
        for piece in self._pieces(entry, dtype):
            buffer = byte_view(piece)
            total.update(buffer)
            n_left -= len(buffer)
            if not n_left:
                self._sums.add(number, total.digest())
            while len(buffer) > n_room:
                waiting += (buffer[:n_room], next(following))
                buffer, n_room = buffer[n_room:], part_size
            self._pipeline.writev((*waiting, buffer))
            waiting.clear()
            n_room -= len(buffer)
        if not size:
            self._sums.add(number, total.digest())
            self._pipeline.writev(waiting)

    def _pieces(self, entry: Entry, dtype: torch.dtype) -> Iterator[torch.Tensor]:
        return pieces(
            entry,
            dtype,
            self._precision,
            at_once=self._at_once,
            is_alone=self._is_alone,
            scratch=self._scratch,
        )

    def _add_small(
        self,
        number: int,
        tensor: torch.Tensor,
        address: int,
        size: int,
        frame: bytes,
    ) -> None:
        """Write an entry that is stored unchanged, together with its neighbors."""
        if self._group:
            self._close_group()
        if self._n_waiting + size > CHUNK or len(self._digests) >= _MANY:
            self._write_buffers()
        # One check is enough for a batch: if this is the only thread, no other starts
        # while our own code runs.
        if not self._buffers:
            self._is_undisturbed = self._at_once and is_undisturbed()
        # By address, since a memoryview of the tensor would take four times as long.
        array = _types.get(size) or _array_type(size)
        buffer: Buffer = array.from_address(address) if size else b""
        if size > _SHORT and self._is_undisturbed and is_private(tensor):
            self._alive.append(tensor)
        else:
            buffer = bytes(buffer)
        self._digests.append((number, xxhash.xxh3_64_digest(buffer)))
        self._buffers += (frame, buffer)
        self._n_waiting += size

    def _add_to_group(
        self,
        number: int,
        entry: Entry,
        tensor: torch.Tensor,
        address: int,
        dtype: torch.dtype,
        size: int,
        frame: bytes,
    ) -> None:
        """Convert a small entry together with its neighbors."""
        types = (tensor.dtype, dtype)
        is_full = self._group_size + size > _GROUP or len(self._group) >= _MANY
        if types != self._group_types or is_full:
            self._close_group()
            self._group_types = types
            self._group_values = self._gathered.take(
                tensor.dtype, _GROUP // dtype.itemsize
            )
            self._group_address = self._group_values.data_ptr()
        # Copied in one call: the check of its values and their conversion see one
        # state, whatever another thread writes meanwhile.
        start = self._group_size // dtype.itemsize * tensor.itemsize
        if size:
            ctypes.memmove(self._group_address + start, address, tensor.nbytes)
        self._group.append((number, entry, size, frame))
        self._group_size += size

    def _write_buffers(self) -> None:
        if self._buffers:
            self._sums.add_all(self._digests)
            self._pipeline.writev(self._buffers)
            self._buffers, self._alive, self._digests = [], [], []
            self._n_waiting = 0

    def _close_group(self) -> None:
        """Convert the group in one call, then write its entries one by one."""
        if not self._group or self._group_types is None:
            return
        # Emptied first: a group that cannot be converted must not be part of the next
        # flush.
        group, (_, dtype) = self._group, self._group_types
        count = self._group_size // dtype.itemsize
        self._group, self._group_types, self._group_size = [], None, 0
        self._write_buffers()
        values, out = self._group_values[:count], self._scratch.take(dtype, count)
        try:
            rounding = self._precision.rounding(group[0][1])
            convert(values, out, group[0][1].path, rounding)
        except PrecisionError:
            # One by one, since the error must name the entry and not the first of the
            # group.
            for _, entry, *_ in group:
                next(self._pieces(entry, dtype), None)
            raise
        view, start = byte_view(out), 0
        for number, _, size, frame in group:
            buffer = view[start : start + size]
            start += size
            self._digests.append((number, xxhash.xxh3_64_digest(buffer)))
            self._buffers += (frame, buffer)
        self._write_buffers()


_types: dict[int, Any] = {}
# Every length is a separate type in ctypes. Models have few of them, which are cached
# up to a limit, so that a program with many models does not fill its memory.


def _array_type(size: int) -> Any:
    if len(_types) >= _MOST_TYPES:
        _types.clear()
    array = _types[size] = ctypes.c_char * size
    return array


_MOST_TYPES = 1024
