"""Layout: which part of a folder holds which rectangle of a tensor.

It is determined by a rule of the format (docs/format.md), so that it need not be
stored: a grid of parts, and the dimensions of tensors that the grid's dimensions shard,
one after the other. Of ``n`` rows on ``m`` parts, each has ``ceil(n / m)``, and the
last ones fewer or none.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

Sizes: TypeAlias = tuple[int, ...]


class Rectangle(NamedTuple):
    """Rows of a tensor in each of its dimensions."""

    offsets: Sizes
    sizes: Sizes

    @property
    def n_values(self) -> int:
        """The number of values in it."""
        return math.prod(self.sizes)

    def common(self, rectangle: "Rectangle") -> "Rectangle | None":
        """Return the intersection; None if it is empty."""
        offsets = tuple(map(max, self.offsets, rectangle.offsets))
        ends = map(min, self.ends, rectangle.ends)
        sizes = tuple(end - start for start, end in zip(offsets, ends, strict=True))
        is_any = all(size > 0 for size in sizes)
        return Rectangle(offsets, sizes) if is_any else None

    def within(self, rectangle: "Rectangle") -> "Rectangle":
        """Return the same rows, counted from the start of ``rectangle``."""
        offsets = (a - b for a, b in zip(self.offsets, rectangle.offsets, strict=True))
        return Rectangle(tuple(offsets), self.sizes)

    @property
    def ends(self) -> Sizes:
        """The row after the last one, in each dimension."""
        return tuple(a + b for a, b in zip(self.offsets, self.sizes, strict=True))


class Chunk(NamedTuple):
    """A rectangle of a tensor, and the part of the folder that holds it."""

    part: int
    rectangle: Rectangle
    number: int = 0
    """Its number among the rectangles that the part has of this tensor."""


def full_rectangle(shape: Sequence[int]) -> Rectangle:
    """Return the rectangle of the whole tensor."""
    return Rectangle((0,) * len(shape), tuple(shape))


@dataclass(frozen=True, slots=True)
class Layout:
    """The distribution of tensors over a grid of parts."""

    grid: Sizes
    """The number of parts in each dimension of the grid."""
    parts: Sizes
    """Their numbers, in row-major order."""
    cuts: tuple[tuple[int, int], ...] = ()
    """Pairs of a dimension of the grid and the dimension of the tensor that it shards.

    They are in the order of sharding. Along all other dimensions of the grid the parts
    are equal.
    """

    def rectangle(self, shape: Sequence[int], place: Sequence[int]) -> Rectangle:
        """Return the rectangle of a tensor in the part at ``place`` of the grid."""
        offsets, sizes = [0] * len(shape), list(shape)
        for grid_dim, dim in self.cuts:
            start, end = _rows(sizes[dim], self.grid[grid_dim], place[grid_dim])
            offsets[dim] += start
            sizes[dim] = end - start
        return Rectangle(tuple(offsets), tuple(sizes))

    def writer(self, number: int) -> dict[int, int]:
        """Return which of equal parts writes tensor ``number``.

        They take turns: the result is its index in each dimension that shards nothing.
        """
        cutting = {grid_dim for grid_dim, _ in self.cuts}
        return {
            grid_dim: number % size
            for grid_dim, size in enumerate(self.grid)
            if grid_dim not in cutting
        }

    def writes(self, number: int, place: Sequence[int]) -> bool:
        """Return whether the part at ``place`` writes its rectangle of a tensor."""
        turns = self.writer(number).items()
        return all(place[grid_dim] == turn for grid_dim, turn in turns)

    def chunks(
        self, number: int, shape: Sequence[int], target: Rectangle | None = None
    ) -> Iterator[Chunk]:
        """Yield the stored chunks of tensor ``number`` that overlap ``target``.

        Parts without any of it are not visited.
        """
        place = [0] * len(self.grid)
        for grid_dim, turn in self.writer(number).items():
            place[grid_dim] = turn
        everything = full_rectangle(shape)
        yield from self._chunks(0, everything, target or everything, place)

    def _chunks(
        self, n_cut: int, rectangle: Rectangle, target: Rectangle, place: list[int]
    ) -> Iterator[Chunk]:
        if n_cut == len(self.cuts):
            if 0 not in rectangle.sizes:
                yield Chunk(self.parts[self._position(place)], rectangle)
            return
        grid_dim, dim = self.cuts[n_cut]
        size, m = rectangle.sizes[dim], self.grid[grid_dim]
        each = -(-size // m)
        # A dimension without rows has no chunk, and would be a divisor of 0 below.
        if not each:
            return
        begin = max(0, target.offsets[dim] - rectangle.offsets[dim])
        end = min(size, target.ends[dim] - rectangle.offsets[dim])
        for turn in range(begin // each, -(-end // each)):
            # Deeper levels overwrite only their own dimensions, so that one list serves
            # all.
            place[grid_dim] = turn
            start, stop = _rows(size, m, turn)
            yield from self._chunks(
                n_cut + 1, _narrowed(rectangle, dim, start, stop), target, place
            )

    def _position(self, place: Sequence[int]) -> int:
        position = 0
        for size, at in zip(self.grid, place, strict=True):
            position = position * size + at
        return position

    def place_of(self, part: int) -> Sizes:
        """Return the position of a part in the grid."""
        position, place = self.parts.index(part), list[int]()
        for size in reversed(self.grid):
            position, at = divmod(position, size)
            place.append(at)
        return tuple(reversed(place))


def _rows(size: int, n_parts: int, number: int) -> tuple[int, int]:
    each = -(-size // n_parts)
    return min(number * each, size), min((number + 1) * each, size)


def _narrowed(rectangle: Rectangle, dim: int, start: int, stop: int) -> Rectangle:
    offsets, sizes = list(rectangle.offsets), list(rectangle.sizes)
    offsets[dim] += start
    sizes[dim] = stop - start
    return Rectangle(tuple(offsets), tuple(sizes))
