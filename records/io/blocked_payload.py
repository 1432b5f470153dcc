"""BlockedPayload: an entry with checksums of blocks, whose rows can be read alone."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import xxhash

from ..errors import RecordChecksumError
from .lazy_payload import LazyPayload, tensor_of
from .source import Maps, Source, fresh_memory, is_remote

_PIECE = 1 << 30
"""Bytes of a part of a long payload; `pieces` has its parts."""


class _Run(NamedTuple):
    """Ranges of a payload that are contiguous and all needed."""

    start: int
    n_bytes: int


@dataclass(slots=True, eq=False)
class BlockedPayload(LazyPayload):
    """A payload of which any rectangle can be read and verified alone."""

    block: int = 0
    """Bytes of each block, except for the last one."""
    block_sums: bytes = b""
    """The checksums of all blocks."""

    def rectangle(
        self,
        extent: tuple[tuple[int, ...], tuple[int, ...]],
        maps: Maps | None = None,
    ) -> torch.Tensor:
        """Return rows of each dimension (offsets, sizes), in memory of their own.

        Only the blocks that contain some of them are read, and verified. Raises as
        `load` does.
        """
        offsets, sizes = extent
        if sizes == self.shape or not math.prod(sizes):
            values = self.load(maps) if math.prod(sizes) else None
            return torch.empty(sizes, dtype=self.dtype) if values is None else values
        source = self.source if maps is None else maps.of(self.source)
        try:
            data = self._data_of(offsets, sizes, source)
        except RecordChecksumError as error:
            raise self._error_of(error, source) from error
        return tensor_of(data, self, is_flat=True).view(sizes)

    def _data_of(
        self, offsets: tuple[int, ...], sizes: tuple[int, ...], source: Source
    ) -> memoryview:
        itemsize = self.dtype.itemsize
        data, n_done = fresh_memory(math.prod(sizes) * itemsize), 0
        blocks = _Blocks(self, source)
        blocks.announce(_runs(self.shape, offsets, sizes, itemsize))
        for start, count in _runs(self.shape, offsets, sizes, itemsize):
            end = start + count
            while start < end:
                number = start // self.block
                piece = blocks.content(number)[start - number * self.block :]
                n = min(len(piece), end - start)
                data[n_done : n_done + n] = piece[:n]
                start, n_done = start + n, n_done + n
        return data

    def place_of_block(self, number: int) -> tuple[int, int]:
        """Return the location of a block in the source, and its length."""
        pieces, at = self.pieces, number * self.block
        which, inside = (0, at) if len(pieces) == 1 else divmod(at, _PIECE)
        offset, count = pieces[which]
        return offset + inside, min(self.block, count - inside)


class _Blocks:
    """The blocks of one payload for one reading, of which the last one is kept."""

    def __init__(self, payload: BlockedPayload, source: Source) -> None:
        self._payload, self._source = payload, source
        self._number, self._content = -1, memoryview(b"")

    def announce(self, runs: Iterator[_Run]) -> None:
        """Announce which blocks will be read, for storages that fetch many together."""
        if is_remote(self._source):
            block = self._payload.block
            numbers = {
                number
                for start, count in runs
                for number in range(start // block, (start + count - 1) // block + 1)
            }
            places = map(self._payload.place_of_block, sorted(numbers))
            self._source.expect(list(places))

    def content(self, number: int) -> memoryview:
        """Return the bytes of a block, verified."""
        if number != self._number:
            place = self._payload.place_of_block(number)
            content = self._source.view(*place)
            if self._source.verify:
                self._compare(number, content)
            self._number, self._content = number, content
        return self._content

    def _compare(self, number: int, content: memoryview) -> None:
        expected = self._payload.block_sums[8 * number : 8 * number + 8]
        if xxhash.xxh3_64_digest(content) != expected:
            raise RecordChecksumError(self._source.name, self._payload.path)


def _runs(
    shape: tuple[int, ...],
    offsets: tuple[int, ...],
    sizes: tuple[int, ...],
    itemsize: int,
) -> Iterator[_Run]:
    """Yield the contiguous ranges of a rectangle of a tensor in row-major order."""
    dim = len(shape) - 1
    while dim > 0 and sizes[dim] == shape[dim]:
        dim -= 1
    strides = [math.prod(shape[i + 1 :]) * itemsize for i in range(len(shape))]
    places = itertools.product(
        *(range(offsets[i], offsets[i] + sizes[i]) for i in range(dim))
    )
    for place in places:
        start = sum(i * stride for i, stride in zip(place, strides, strict=False))
        yield _Run(start + offsets[dim] * strides[dim], sizes[dim] * strides[dim])
