"""The bytes of entries, one chunk at a time: converted, checked, hashed, written."""

import ctypes
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import xxhash

from .conversion import convert
from .entry import Entry
from .errors import PrecisionError, RecordError
from .grad_mode import no_grad
from .memory import ORDINARY, is_readable, values_of
from .precision import RecordPrecision
from .sink import Buffer, Progress, Sink

CHUNK = 1 << 20
"""Bytes of output that are converted at once: they fit a core's own cache."""

_SMALL = CHUNK // 4
"""Entries up to this many bytes share system calls."""


def write_payloads(
    entries: Sequence[Entry],
    dtypes: Sequence[torch.dtype],
    frames: Sequence[bytes],
    sink: Sink,
    *,
    precision: RecordPrecision,
    parts: Mapping[int, Sequence[bytes]] = {},  # never changed
    part_size: int = sys.maxsize,
    progress: Progress | None = None,
) -> bytes:
    """Write each entry's frame and bytes; return their xxh3-64 sums, 8 bytes each.

    The bytes of an entry are its values in row-major order, little-endian. ``parts``
    gives, by number of entry, the frames before each further ``part_size`` bytes.
    """
    writer = _Writer(sink, precision, part_size)
    if progress is not None:
        writer.report(progress, entries, dtypes)
    for i, (entry, dtype, frame) in enumerate(
        zip(entries, dtypes, frames, strict=True)
    ):
        tensor: Any = entry.source
        if type(tensor) not in ORDINARY or not is_readable(tensor):
            tensor = stored_tensor(entry)
        if tensor.shape != entry.shape:
            raise RecordError(
                f"{entry.path}: the tensor's shape became {tuple(tensor.shape)} after "
                f"its record was made with {entry.shape}; make the record again"
            )
        size = tensor.numel() * dtype.itemsize
        if size > _SMALL or not _is_plain(tensor):
            writer.add(entry, dtype, [frame, *parts.get(i, ())])
        elif tensor.dtype is dtype:
            writer.add_small(tensor, size, frame)
        elif precision.rounding(entry).underflow == "allow":
            writer.add_to_group(entry, tensor, dtype, size, frame)
        else:
            writer.add(entry, dtype, [frame])
        if progress is not None:
            writer.advance(entry.path, size)
    writer.flush()
    return b"".join(writer.sums)


def chunks(
    entry: Entry, dtype: torch.dtype, precision: RecordPrecision
) -> Iterator[torch.Tensor]:
    """Return the entry's values at ``dtype`` as flat tensors of about `CHUNK` bytes.

    A chunk is valid until the next one is asked for.
    """
    tensor = stored_tensor(entry)
    limit = CHUNK // dtype.itemsize
    if tensor.dtype is dtype and _is_plain(tensor):
        yield from (
            torch.split(tensor.detach().view(-1), limit) if tensor.numel() else ()
        )
        return
    scratch = torch.empty(min(limit, tensor.numel()), dtype=dtype)
    rounding = precision.rounding(entry)
    for piece in _pieces(tensor.detach(), limit):
        out = scratch[: piece.numel()]
        n_zeroed = convert(piece.reshape(-1), out, entry.path, rounding)
        precision.count_zeroed(entry.path, n_zeroed)
        yield out


def stored_tensor(entry: Entry) -> torch.Tensor:
    """Return the entry's tensor as strided memory; RecordError if it has none.

    What an entry reads from a file is not kept, so that a copy streams.
    """
    return values_of(entry.read(), entry.path)


def byte_view(tensor: torch.Tensor) -> memoryview:
    """Return the bytes of a contiguous tensor in CPU memory, shared with it."""
    count = tensor.numel() * tensor.element_size()
    if not count:
        return memoryview(b"")
    return memoryview((ctypes.c_char * count).from_address(tensor.data_ptr())).cast("B")


class _Writer:
    """Gathers small entries, so that they share system calls and conversions."""

    def __init__(self, sink: Sink, precision: RecordPrecision, part_size: int) -> None:
        self.sums: list[bytes] = []
        self._sink, self._precision, self._part_size = sink, precision, part_size
        self._buffers: list[Buffer] = []
        self._alive: list[torch.Tensor] = []
        self._pending = 0
        self._group: list[tuple[Entry, torch.Tensor, bytes]] = []
        self._group_types: tuple[torch.dtype, torch.dtype] | None = None
        self._group_size = 0
        self._scratch: dict[torch.dtype, torch.Tensor] = {}

    def report(
        self,
        progress: Progress,
        entries: Sequence[Entry],
        dtypes: Sequence[torch.dtype],
    ) -> None:
        self._progress, self._done = progress, 0
        self._total = sum(map(stored_size, entries, dtypes))

    def advance(self, path: str, size: int) -> None:
        self._done += size
        self._progress(self._done, self._total, path)

    def add(self, entry: Entry, dtype: torch.dtype, frames: Sequence[bytes]) -> None:
        """Write an entry chunk by chunk, a frame before each of its parts."""
        self.flush()
        total, following = xxhash.xxh3_64(), iter(frames)
        room = each = self._part_size if len(frames) > 1 else sys.maxsize
        self._sink.write(next(following))
        for chunk in chunks(entry, dtype, self._precision):
            buffer = byte_view(chunk)
            total.update(buffer)
            while len(buffer) > room:
                self._sink.writev((buffer[:room], next(following)))
                buffer, room = buffer[room:], each
            self._sink.write(buffer)
            room -= len(buffer)
        self.sums.append(total.digest())

    def add_small(self, tensor: torch.Tensor, size: int, frame: bytes) -> None:
        """Write an entry that is stored as it is, together with its neighbours."""
        if self._group:
            self._close_group()
        # From the address: a memoryview of the tensor would cost four times more.
        made = _types.get(size) or _bytes_type(size)
        buffer = made.from_address(tensor.data_ptr()) if size else b""
        self.sums.append(xxhash.xxh3_64_digest(buffer))
        self._buffers += (frame, buffer)
        self._alive.append(tensor)
        self._pending += size + len(frame)
        if self._pending > CHUNK:
            self._write_buffers()

    def add_to_group(
        self,
        entry: Entry,
        tensor: torch.Tensor,
        dtype: torch.dtype,
        size: int,
        frame: bytes,
    ) -> None:
        """Write a small entry that is converted, together with its neighbours."""
        types = (tensor.dtype, dtype)
        if types != self._group_types or self._group_size + size > CHUNK:
            self._close_group()
            self._group_types = types
        self._group.append((entry, tensor, frame))
        self._group_size += size

    def flush(self) -> None:
        self._close_group()
        self._write_buffers()

    def _write_buffers(self) -> None:
        if self._buffers:
            self._sink.writev(self._buffers)
            self._buffers, self._alive, self._pending = [], [], 0

    def _close_group(self) -> None:
        """Convert the group in one call, then write its entries one by one."""
        if not self._group or self._group_types is None:
            return
        group, (_, dtype) = self._group, self._group_types
        self._group, self._group_types, self._group_size = [], None, 0
        self._write_buffers()
        with no_grad():
            flat: torch.Tensor = torch._utils._flatten_dense_tensors(  # type: ignore[no-untyped-call]  # one call for all
                [tensor for _, tensor, _ in group]
            )
        scratch = self._scratch.get(dtype)
        if scratch is None:
            scratch = self._scratch[dtype] = torch.empty(
                CHUNK // dtype.itemsize, dtype=dtype
            )
        out = scratch[: flat.numel()]
        try:
            # A group of one 1-d parameter is that parameter itself.
            rounding = self._precision.rounding(group[0][0])
            convert(flat.detach(), out, group[0][0].path, rounding)
        except PrecisionError:
            for entry, _, _ in group:
                next(chunks(entry, dtype, self._precision), None)
            raise
        address = out.data_ptr()
        for _, tensor, frame in group:
            size = tensor.numel() * dtype.itemsize
            buffer = (_types.get(size) or _bytes_type(size)).from_address(address)
            address += size
            self.sums.append(xxhash.xxh3_64_digest(buffer))
            self._buffers += (frame, buffer)
        self._write_buffers()


_types: dict[int, Any] = {}


def _bytes_type(size: int) -> Any:
    made = _types[size] = ctypes.c_char * size
    return made


def stored_size(entry: Entry, dtype: torch.dtype) -> int:
    """Return how many bytes the entry takes when it is stored as ``dtype``."""
    return math.prod(entry.shape) * dtype.itemsize


def _is_plain(tensor: torch.Tensor) -> bool:
    """Return whether the tensor's bytes lie in memory in row-major order."""
    return (
        tensor.is_cpu
        and tensor.layout is torch.strided
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and not tensor.is_conj()
    )


def _pieces(tensor: torch.Tensor, limit: int) -> Iterator[torch.Tensor]:
    """Return the tensor in row-major order as parts of at most ``limit`` values."""
    if tensor.numel() <= limit or not tensor.ndim:
        if tensor.numel():
            yield tensor
        return
    if tensor.is_contiguous():
        yield from torch.split(tensor.view(-1), limit)
        return
    row = tensor.numel() // tensor.shape[0]
    if row > limit:
        for part in tensor.unbind(0):
            yield from _pieces(part, limit)
        return
    yield from torch.split(tensor, max(1, limit // row))
