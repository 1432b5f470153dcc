"""The payload of an entry in a file, read and verified when it is asked for."""

import math
from dataclasses import dataclass

import torch
import xxhash

from ..errors import RecordChecksumError, RecordFormatError
from ..tensors.byte_planes import BLOCK, planes_of
from .parallel_map import parallel_map
from .source import Maps, Source, fresh_memory


@dataclass(slots=True, eq=False)
class LazyPayload:
    """Bytes of one entry: where they lie, what they are, and their sum.

    A record has one for each of its entries, so that every object in it counts.
    """

    source: Source
    path: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    place: int | tuple[tuple[int, int], ...]
    """Where all of them lie; of a payload in parts, offset and length of each."""
    sum: int | bytes | None
    """The xxh3-64 sum, or where its 8 bytes lie; None for formats without sums."""
    is_planes: bool = False

    @property
    def pieces(self) -> tuple[tuple[int, int], ...]:
        """Offset and length of each part; nearly always one."""
        if isinstance(self.place, int):
            return ((self.place, math.prod(self.shape) * self.dtype.itemsize),)
        return self.place

    def load(self, maps: Maps | None = None) -> torch.Tensor:
        """Return the tensor; its memory is its own or a part of a private map."""
        source = self.source if maps is None else maps.of(self.source)
        try:
            if self.is_planes:
                return self._joined(source)
            data = self._bytes(source)
            if source.verify and self.sum is not None:
                ahead = None if maps is None else maps.sums_ahead
                digest = (
                    xxhash.xxh3_64_digest(data)
                    if ahead is None
                    else ahead.digest(self, data)
                )
                self._compare(digest, self.sum, source)
            return tensor_of(data, self)
        except RecordChecksumError as error:
            # Compressed content knows its frames, and not whose they are.
            if source.verify:
                raise RecordChecksumError(source.name, self.path) from error
            raise RecordFormatError(
                source.name,
                f"compressed bytes of {self.path!r:.80} that are damaged",
            ) from error

    def _compare(self, digest: bytes, expected: int | bytes, source: Source) -> None:
        if isinstance(expected, int):
            expected = bytes(source.read(expected, 8))
        if digest != expected:
            raise RecordChecksumError(source.name, self.path)

    def _bytes(self, source: Source) -> memoryview:
        pieces = self.pieces
        if len(pieces) == 1:
            return source.view(*pieces[0])
        data, n_done = fresh_memory(sum(n for _, n in pieces)), 0
        for offset, count in pieces:
            data[n_done : n_done + count] = source.read(offset, count)
            n_done += count
        return data

    def _joined(self, source: Source) -> torch.Tensor:
        """Return the values of planes, block by block: none is held twice."""
        pieces = self.pieces
        size = sum(count for _, count in pieces)
        if not size:
            return torch.empty(self.shape, dtype=self.dtype)
        flat, n_done = torch.frombuffer(fresh_memory(size), dtype=self.dtype), 0
        codec, step = planes_of(self.dtype), BLOCK * self.dtype.itemsize
        total = xxhash.xxh3_64() if source.verify else None
        blocks = [
            (at, min(step, offset + count - at))
            for offset, count in pieces
            for at in range(offset, offset + count, step)
        ]
        for data in parallel_map(lambda block: source.view(*block), blocks):
            if total is not None:
                total.update(data)
            values = flat[n_done : n_done + len(data) // self.dtype.itemsize]
            codec.join(torch.frombuffer(data, dtype=torch.uint8), values)
            n_done += len(values)
        if total is not None and self.sum is not None:
            self._compare(total.digest(), self.sum, source)
        return flat.view(self.shape)


def tensor_of(data: memoryview, payload: LazyPayload) -> torch.Tensor:
    """Return ``data`` as a tensor of the stored dtype and shape, without a copy.

    Raises `RecordFormatError` for bytes that are no booleans.
    """
    if not len(data):
        return torch.empty(payload.shape, dtype=payload.dtype)
    if payload.dtype is torch.bool:
        raw = torch.frombuffer(data, dtype=torch.uint8)
        if int(raw.max()) > 1:
            raise RecordFormatError(
                payload.source.name, f"{payload.path}: a byte that is no boolean"
            )
    tensor = torch.frombuffer(data, dtype=payload.dtype)
    if tensor.data_ptr() % payload.dtype.itemsize:
        tensor = torch.frombuffer(data, dtype=torch.uint8).clone().view(payload.dtype)
    return tensor.view(payload.shape)
