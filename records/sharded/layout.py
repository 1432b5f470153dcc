"""Layout: which part of a folder holds which rectangle of a tensor.

It follows from a rule that the format specifies (docs/format.md), so that nobody has
to tell: a grid of parts, and the dimensions of tensors that its dimensions cut, one
after the other. Of ``n`` rows on ``m`` parts, each takes ``ceil(n / m)``, and the last
ones fewer or none.
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
        """How many values it has."""
        return math.prod(self.sizes)

    def common(self, rectangle: "Rectangle") -> "Rectangle | None":
        """Return what both have; None if that is nothing."""
        offsets = tuple(map(max, self.offsets, rectangle.offsets))
        ends = map(min, self.ends, rectangle.ends)
        sizes = tuple(end - start for start, end in zip(offsets, ends, strict=True))
        is_any = all(size > 0 for size in sizes)
        return Rectangle(offsets, sizes) if is_any else None

    def within(self, rectangle: "Rectangle") -> "Rectangle":
        """Return the same rows, counted from where ``rectangle`` begins."""
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
    """Which one it is of those that the part holds of this tensor."""


def full_rectangle(shape: Sequence[int]) -> Rectangle:
    """Return all of a tensor."""
    return Rectangle((0,) * len(shape), tuple(shape))


@dataclass(frozen=True, slots=True)
class Layout:
    """How tensors are spread over a grid of parts."""

    grid: Sizes
    """How many parts there are in each dimension of the grid."""
    parts: Sizes
    """Their numbers, in row-major order."""
    cuts: tuple[tuple[int, int], ...] = ()
    """Pairs of a dimension of the grid and one of the tensor that it cuts, in the
    order in which they do. Along all others of the grid the parts are alike."""

    def rectangle(self, shape: Sequence[int], place: Sequence[int]) -> Rectangle:
        """Return what the part at ``place`` of the grid has of a tensor."""
        offsets, sizes = [0] * len(shape), list(shape)
        for grid_dim, dim in self.cuts:
            start, end = _rows(sizes[dim], self.grid[grid_dim], place[grid_dim])
            offsets[dim] += start
            sizes[dim] = end - start
        return Rectangle(tuple(offsets), tuple(sizes))

    def writer(self, number: int) -> dict[int, int]:
        """Return which of those that are alike writes tensor ``number``.

        They take turns: it is at this place of each dimension that cuts nothing.
        """
        cutting = {grid_dim for grid_dim, _ in self.cuts}
        return {
            grid_dim: number % size
            for grid_dim, size in enumerate(self.grid)
            if grid_dim not in cutting
        }

    def writes(self, number: int, place: Sequence[int]) -> bool:
        """Return whether the one at ``place`` writes what it has of a tensor."""
        turns = self.writer(number).items()
        return all(place[grid_dim] == turn for grid_dim, turn in turns)

    def chunks(
        self, number: int, shape: Sequence[int], target: Rectangle | None = None
    ) -> Iterator[Chunk]:
        """Yield what is stored of tensor ``number``, of which ``target`` has rows.

        Parts that have nothing of that are not looked at.
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
        # A dimension without rows has no chunk, and nothing to divide by below.
        if not each:
            return
        begin = max(0, target.offsets[dim] - rectangle.offsets[dim])
        end = min(size, target.ends[dim] - rectangle.offsets[dim])
        for turn in range(begin // each, -(-end // each)):
            # Deeper cuts overwrite their own dimensions alone: one list serves all.
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
        """Return where in the grid a part stands."""
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
