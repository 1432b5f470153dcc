"""PiecewisePayload: an entry whose values lie in several parts of a folder."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..entries.entry import Entry
from ..io.source import Maps
from ..tensors.flat_pieces import PIECE, flat_pieces
from .layout import Chunk, Rectangle, Sizes, full_rectangle
from .part_files import PartFiles
from .shard_index import ShardIndex


@dataclass(slots=True, eq=False)
class PiecewisePayload:
    """Where the values of one entry lie; any rectangle of them can be read alone."""

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
    """Asked of every entry by every load: an attribute is found sooner than none."""

    def load(self, maps: Maps | None = None) -> Tensor:
        """Return the whole tensor, verified, in memory that nobody else has."""
        return self.rectangle(full_rectangle(self.shape), maps)

    def rectangle(
        self, extent: tuple[Sizes, Sizes], maps: Maps | None = None
    ) -> Tensor:
        """Return these rows alone, as `load` does; nothing else is read for them.

        Each part is verified as far as it is read: the rectangle that was saved, or the
        blocks of it that have sums.
        """
        extent = Rectangle(*extent)
        if not extent.n_values:
            return torch.empty(extent.sizes, dtype=self.dtype)
        chunks = self._chunks(extent)
        # The parts are asked for before memory is: they have as many values.
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
        streams = [
            ChunkRows(chunk.rectangle, entry.blocks())
            for chunk, entry in zip(chunks, entries, strict=True)
        ]
        if all(stream.rectangle.sizes[1:] == self.shape[1:] for stream in streams):
            streams.sort(key=lambda stream: stream.rectangle.offsets)
            for stream in streams:
                yield from stream.blocks
        else:
            yield from self._joined(streams)

    def _joined(self, streams: "list[ChunkRows]") -> Iterator[Tensor]:
        """Yield a few rows at a time, each put together of several chunks."""
        n_rows, width = self.shape[0], self.shape[1:]
        step = max(1, PIECE // (math.prod(width) * self.dtype.itemsize))
        for start in range(0, n_rows, step):
            n = min(step, n_rows - start)
            out = torch.empty((n, *width), dtype=self.dtype)
            band = Rectangle((start, *(0,) * len(width)), (n, *width))
            for stream in streams:
                common = stream.rectangle.common(band)
                if common is not None:
                    values = stream.take(common.sizes[0])
                    rows_of(out, common.within(band)).copy_(values)
            yield from flat_pieces(out)

    def _entry(self, chunk: Chunk, maps: Maps | None) -> Entry:
        return self.files.entry(chunk, self.path, self.dtype, maps)

    def _chunks(self, rectangle: Rectangle) -> list[Chunk]:
        chunks = self.index.chunks_of(self.row, self.shape, rectangle)
        return [c for c in chunks if c.rectangle.common(rectangle) is not None]


class ChunkRows:
    """The rows of a chunk, which are read one after the other."""

    def __init__(self, rectangle: Rectangle, blocks: Iterator[Tensor]) -> None:
        self.rectangle, self.blocks = rectangle, blocks
        self._width = rectangle.sizes[1:]
        self._n_rows_left = rectangle.sizes[0] if rectangle.sizes else 1
        self._rest: Tensor | None = None

    def take(self, count: int) -> Tensor:
        """Return the next ``count`` rows."""
        n_values, blocks = count * math.prod(self._width), list[Tensor]()
        n_left = n_values
        while n_left:
            block = next(self.blocks) if self._rest is None else self._rest
            # A block is valid until the next one.
            blocks.append(block[:n_left].clone())
            self._rest = block[n_left:] if len(block) > n_left else None
            n_left -= len(blocks[-1])
        self._n_rows_left -= count
        if not self._n_rows_left:
            # The sum is compared after the last block, when the next is asked for.
            next(self.blocks, None)
        return torch.cat(blocks).view(count, *self._width)


def stored_rows(entry: Entry, rectangle: Rectangle, maps: Maps | None) -> Tensor:
    """Return rows of an entry, which are read alone if they can be verified alone."""
    read_rectangle = getattr(entry.source, "rectangle", None)
    if read_rectangle is None:
        return rows_of(entry.read_stored(maps), rectangle)
    values: Tensor = read_rectangle(rectangle, maps)
    return values


def rows_of(tensor: Tensor, rectangle: Rectangle) -> Tensor:
    """Return a view of the rows of ``tensor`` that ``rectangle`` says."""
    for dim, (offset, size) in enumerate(zip(*rectangle, strict=True)):
        if size != tensor.shape[dim]:
            tensor = tensor.narrow(dim, offset, size)
    return tensor
