"""PiecewisePayload: an entry whose values are in several parts of a folder."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ..entries.entry import Entry
from ..io.source import Maps
from ..tensors.flat_pieces import flat_pieces
from .layout import Chunk, Rectangle, Sizes, full_rectangle
from .part_files import PartFiles
from .shard_index import ShardIndex


@dataclass(slots=True, eq=False)
class PiecewisePayload:
    """The locations of an entry's values; any rectangle of them can be read alone."""

    files: PartFiles
    index: ShardIndex
    row: int
    """The number of the entry in the index."""
    path: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    is_piecewise: ClassVar[bool] = True
    """Saves read it a few rows at a time."""
    is_live: ClassVar[bool] = False
    """Every load reads this for every entry; a missing attribute is slow to find."""

    def load(self, maps: Maps | None = None) -> Tensor:
        """Return the whole tensor, verified, in memory of its own."""
        return self.rectangle(full_rectangle(self.shape), maps)

    def rectangle(
        self, extent: tuple[Sizes, Sizes], maps: Maps | None = None
    ) -> Tensor:
        """Return these rows alone, as `load` does; nothing else is read for them.

        Each part is verified as far as it is read: the rectangle that was saved, or
        those blocks of it that have checksums.
        """
        extent = Rectangle(*extent)
        if not extent.n_values:
            return torch.empty(extent.sizes, dtype=self.dtype)
        chunks = self._chunks(extent)
        # The parts are opened before memory is allocated, since they show the number of
        # values.
        entries = [self._entry(chunk, maps) for chunk in chunks]
        if len(chunks) == 1 and chunks[0].rectangle == extent:
            return entries[0].read_stored(maps)
        out = torch.empty(extent.sizes, dtype=self.dtype)
        for chunk, entry in zip(chunks, entries, strict=True):
            common = chunk.rectangle.common(extent)
            if common is not None:
                values = stored_rows(entry, common.within(chunk.rectangle), maps)
                rows_of(out, common.within(extent)).copy_(values)
        return out

    def blocks(self) -> Iterator[Tensor]:
        """Yield the values as `Entry.blocks` does, a few rows at a time."""
        chunks = self._chunks(full_rectangle(self.shape))
        entries = [self._entry(chunk, None) for chunk in chunks]
        runs = [
            RowRun(
                chunk.rectangle, FlatValues(entry.blocks(), chunk.rectangle.n_values)
            )
            for chunk, entry in zip(chunks, entries, strict=True)
        ]
        return joined(runs, self.shape, self.dtype)

    def _entry(self, chunk: Chunk, maps: Maps | None) -> Entry:
        return self.files.entry(chunk, self.path, self.dtype, maps)

    def _chunks(self, rectangle: Rectangle) -> list[Chunk]:
        chunks = self.index.chunks_of(self.row, self.shape, rectangle)
        return [c for c in chunks if c.rectangle.common(rectangle) is not None]


def joined(
    runs: "Sequence[RowRun]", shape: Sizes, dtype: torch.dtype
) -> Iterator[Tensor]:
    """Yield the values of rectangles that cover a tensor of ``shape``, row by row.

    Each piece is valid until the next; at most a band of rows is in memory.
    """
    width = shape[1:]
    row_size = math.prod(width) * dtype.itemsize
    if all(run.rectangle.sizes[1:] == width for run in runs):
        for run in sorted(runs, key=lambda run: run.rectangle.offsets):
            yield from run.values.take(run.rectangle.n_values)
    elif row_size <= _BAND:
        yield from _bands(
            runs, shape, torch.empty(_BAND // row_size, *width, dtype=dtype)
        )
    else:
        for row in range(shape[0]):
            yield from joined([r.below for r in runs if r.has(row)], width, dtype)


_BAND = 4 << 20
"""Bytes of the rows that are assembled together."""


def _bands(runs: "Sequence[RowRun]", shape: Sizes, buffer: Tensor) -> Iterator[Tensor]:
    """Yield as many rows at a time as ``buffer`` has room for."""
    for start in range(0, shape[0], len(buffer)):
        out = buffer[: shape[0] - start]
        band = Rectangle((start, *(0,) * len(shape[1:])), tuple(out.shape))
        for run in runs:
            common = run.rectangle.common(band)
            if common is not None:
                run.values.fill(rows_of(out, common.within(band)))
        yield from flat_pieces(out)


class RowRun(NamedTuple):
    """A rectangle whose rows are read one after the other."""

    rectangle: Rectangle
    values: "FlatValues"

    @property
    def below(self) -> "RowRun":
        """The shape of its part of one row, without that dimension."""
        offsets, sizes = self.rectangle
        return RowRun(Rectangle(offsets[1:], sizes[1:]), self.values)

    def has(self, row: int) -> bool:
        """Return whether it contains a row of the tensor."""
        return self.rectangle.offsets[0] <= row < self.rectangle.ends[0]


class FlatValues:
    """Values that are read in order, in blocks of any length, and requested in others.

    A block is valid until the next one.
    """

    def __init__(self, blocks: Iterator[Tensor], n_values: int) -> None:
        self._blocks, self._n_left = blocks, n_values
        self._rest: Tensor | None = None

    def take(self, count: int) -> Iterator[Tensor]:
        """Yield the next ``count`` values as flat tensors."""
        while count:
            values = self._next(count)
            count -= len(values)
            yield values

    def fill(self, rows: Tensor) -> None:
        """Write the next values into ``rows``, which may have any strides."""
        size, n_done = rows[0].numel(), 0
        while n_done < len(rows):
            values = self._next((len(rows) - n_done) * size, step=size)
            if len(values) < size:  # the row continues in the next block
                values = values.clone()
                more_pieces = [piece.clone() for piece in self.take(size - len(values))]
                values = torch.cat([values, *more_pieces])
            n_more = len(values) // size
            rows[n_done : n_done + n_more].copy_(values.view(n_more, *rows.shape[1:]))
            n_done += n_more

    def _next(self, most: int, step: int = 1) -> Tensor:
        """Return the rest of a block, in whole steps if it has any."""
        block = next(self._blocks) if self._rest is None else self._rest
        count = min(most, len(block))
        count -= count % step if count > step else 0
        self._rest = block[count:] if count < len(block) else None
        self._n_left -= count
        if not self._n_left:
            # The checksum is compared after the last block, when the next one is
            # requested.
            next(self._blocks, None)
        return block[:count]


def stored_rows(entry: Entry, rectangle: Rectangle, maps: Maps | None) -> Tensor:
    """Return rows of an entry, which are read alone if they can be verified alone."""
    read_rectangle = getattr(entry.source, "rectangle", None)
    if read_rectangle is None:
        return rows_of(entry.read_stored(maps), rectangle)
    values: Tensor = read_rectangle(rectangle, maps)
    return values


def rows_of(tensor: Tensor, rectangle: Rectangle) -> Tensor:
    """Return a view of the rows of ``tensor`` in ``rectangle``."""
    for dim, (offset, size) in enumerate(zip(*rectangle, strict=True)):
        if size != tensor.shape[dim]:
            tensor = tensor.narrow(dim, offset, size)
    return tensor
