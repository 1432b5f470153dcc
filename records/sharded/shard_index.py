"""ShardIndex: the parts of a folder as its index lists them, and their checks."""

import math
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import RecordFormatError
from ..header.columns import Column, are_sizes, is_size
from .layout import Chunk, Layout, Rectangle, full_rectangle

INDEX = "index.mpk"
"""The file of a folder that lists all others."""

PARTS, LAYOUTS, CHUNKS = "parts", "layouts", "chunks"
"""The header keys of an index beyond those of any document."""

COLUMNS = {"layout": Column("number of a layout", are_sizes, is_size)}
"""The columns of its table beyond those of a document with payloads."""

DIGEST = 16
"""Bytes of a part's digest."""

IN_FIRST = 0
"""The layout of a tensor that is completely in the first part."""

IN_CHUNKS = 1
"""The layout of a tensor whose rectangles are all listed in the index."""

_FIRST_LISTED = 2

_NAME = re.compile(r"part-(\d{5,})-of-(\d{5,})\.([0-9a-f]{8})\.mpk")


def new_save_id() -> str:
    """Return the common prefix of the names of one save's parts."""
    return secrets.token_hex(4)


def part_name(number: int, n_parts: int, save_id: str) -> str:
    """Return the name of a part."""
    return f"part-{number:05d}-of-{n_parts:05d}.{save_id}.mpk"


def save_id_of(name: str) -> str | None:
    """Return the save of a part by its name; None if it is not such a name."""
    match = _NAME.fullmatch(name)
    return match[3] if match else None


class PartFile(NamedTuple):
    """A part with its size and digest in the index."""

    name: str
    size: int
    digest: bytes
    """Digest of its content: one number for all its payloads."""


@dataclass(slots=True)
class ShardIndex:
    """The parts of a folder, and where in them each tensor is, by its number."""

    parts: list[PartFile | None]
    """By the number of the process that wrote it; None if it had nothing."""
    layouts: list[Layout] = field(default_factory=list[Layout])
    numbers: list[int] = field(default_factory=list[int])
    """The layout of each tensor; those in the list count from 2."""
    chunks: dict[int, list[Chunk]] = field(default_factory=dict[int, list[Chunk]])
    """The rectangles of tensors with the layout `IN_CHUNKS`."""

    def number_of(self, layout: Layout) -> int:
        """Return the number of a layout, which is added to the list if it is new."""
        if layout not in self.layouts:
            self.layouts.append(layout)
        return self.layouts.index(layout) + _FIRST_LISTED

    def chunks_of(
        self, row: int, shape: Sequence[int], rectangle: Rectangle
    ) -> Iterator[Chunk]:
        """Yield the stored chunks of a tensor that overlap ``rectangle``."""
        number = self.numbers[row]
        if number >= _FIRST_LISTED:
            layout = self.layouts[number - _FIRST_LISTED]
            yield from layout.chunks(row, shape, rectangle)
        elif number == IN_CHUNKS:
            yield from self.chunks[row]
        else:
            yield Chunk(0, Rectangle((0,) * len(shape), tuple(shape)))

    def add_to(self, header: dict[str, Any]) -> None:
        """Add all of it to the header of a document."""
        header[PARTS] = [None if part is None else list(part) for part in self.parts]
        header[LAYOUTS] = [
            [list(each.grid), list(each.parts), [list(cut) for cut in each.cuts]]
            for each in self.layouts
        ]
        header[CHUNKS] = [
            [row, [_plain_chunk(chunk) for chunk in chunks]]
            for row, chunks in self.chunks.items()
        ]
        header["tensors"]["layout"] = self.numbers


def take_index(header: dict[str, Any], file: str) -> ShardIndex:
    """Remove from ``header`` what `ShardIndex.add_to` put there, and check it.

    Raises RecordFormatError. The layouts of its table are not checked yet.
    """
    try:
        parts = [_part(row) for row in _list(header.pop(PARTS, None))]
        layouts = [_layout(row, len(parts)) for row in _list(header.pop(LAYOUTS, None))]
        chunks = {
            _size(row): [_chunk(chunk, len(parts)) for chunk in _list(rows)]
            for row, rows in _pairs(header.pop(CHUNKS, None))
        }
        names = [part.name for part in parts if part is not None]
        if len(set(names)) < len(names):
            raise ValueError("a part that is named twice")
    except (TypeError, ValueError) as error:
        raise RecordFormatError(file, f"a damaged list of parts ({error})") from error
    return ShardIndex(parts, layouts, [], chunks)


def check_places(
    index: ShardIndex, numbers: Sequence[int], shapes: Sequence[Any], file: str
) -> None:
    """Add the layout of every tensor to ``index``; RecordFormatError if damaged.

    After this the chunks of each tensor cover all of it, each value once.
    """
    n_layouts = len(index.layouts) + _FIRST_LISTED
    if len(numbers) != len(shapes):
        raise RecordFormatError(file, "columns of different lengths")
    in_chunks = {i for i, number in enumerate(numbers) if number == IN_CHUNKS}
    if in_chunks != index.chunks.keys():
        raise RecordFormatError(file, "rectangles of different tensors than it says")
    for i, number in enumerate(numbers):
        if number >= n_layouts:
            raise RecordFormatError(file, f"layout {number} of {n_layouts}")
        if number >= _FIRST_LISTED:
            cuts = index.layouts[number - _FIRST_LISTED].cuts
            if any(dim >= len(shapes[i]) for _, dim in cuts):
                raise RecordFormatError(file, f"a layout that cuts tensor {i} nowhere")
        elif number == IN_CHUNKS and not is_cover(index.chunks[i], shapes[i]):
            raise RecordFormatError(file, f"rectangles that do not cover tensor {i}")
        elif number == IN_FIRST and not index.parts and math.prod(shapes[i]):
            raise RecordFormatError(file, "tensors, and no parts")
    index.numbers = list(numbers)


def _plain_chunk(chunk: Chunk) -> list[Any]:
    offsets, sizes = chunk.rectangle
    return [chunk.part, chunk.number, list(offsets), list(sizes)]


def _part(row: Any) -> PartFile | None:
    if row is None:
        return None
    name, size, digest = row
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r:.80} is not the name of a part")
    if not isinstance(digest, bytes) or len(digest) != DIGEST:
        raise ValueError(f"the digest {digest!r:.80} is too short or too long")
    return PartFile(name, _size(size), digest)


def _layout(row: Any, n_parts: int) -> Layout:
    grid, parts, cuts = row
    grid, parts = tuple(map(_size, grid)), tuple(map(_size, parts))
    pairs = tuple((_size(a), _size(b)) for a, b in cuts)
    if 0 in grid or math.prod(grid) != len(parts) or len(set(parts)) < len(parts):
        raise ValueError("a grid that is not made of its parts")
    if max(parts) >= n_parts:
        raise ValueError(f"part {max(parts)} of {n_parts}")
    cutting = [grid_dim for grid_dim, _ in pairs]
    if len(set(cutting)) < len(cutting) or max(cutting, default=-1) >= len(grid):
        raise ValueError("a grid that cuts along dimensions that it does not have")
    return Layout(grid, parts, pairs)


def _chunk(row: Any, n_parts: int) -> Chunk:
    part, number, offsets, sizes = row
    rectangle = Rectangle(tuple(map(_size, offsets)), tuple(map(_size, sizes)))
    if len(rectangle.offsets) != len(rectangle.sizes):
        raise ValueError("a rectangle of two numbers of dimensions")
    if _size(part) >= n_parts:
        raise ValueError(f"part {part} of {n_parts}")
    return Chunk(part, rectangle, _size(number))


def is_cover(chunks: Sequence[Chunk], shape: Sequence[int]) -> bool:
    """Return whether the rectangles have every value of a tensor once."""
    rectangles = [chunk.rectangle for chunk in chunks]
    if not math.prod(shape):
        return not rectangles
    for rectangle in rectangles:
        is_inside = len(rectangle.sizes) == len(shape) and all(
            size > 0 and end <= length
            for size, end, length in zip(
                rectangle.sizes, rectangle.ends, shape, strict=True
            )
        )
        if not is_inside:
            return False
    return _count_once(rectangles, shape)


def _count_once(rectangles: Sequence[Rectangle], shape: Sequence[int]) -> bool:
    """Return whether rectangles within a tensor have every value of it once.

    A rectangle is the product over its dimensions of (start - end), if each coordinate
    is a variable: their sum equals the product of the whole tensor if they cover it
    once, and only then. Two different polynomials are equal at random points with a
    probability of at most 2**-55, so one point decides, in time proportional to the
    number of rectangles; the writer of a file does not know the point.
    """
    points: list[dict[int, int]] = [{} for _ in shape]

    def product(rectangle: Rectangle) -> int:
        result = 1
        for point, start, end in zip(
            points, rectangle.offsets, rectangle.ends, strict=True
        ):
            for coordinate in (start, end):
                if coordinate not in point:
                    point[coordinate] = secrets.randbelow(_PRIME)
            result = result * (point[start] - point[end]) % _PRIME
        return result

    return sum(map(product, rectangles)) % _PRIME == product(full_rectangle(shape))


_PRIME = (1 << 61) - 1


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.80} is not a list")
    return value  # pyright: ignore[reportUnknownVariableType]  # of anything


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    pairs = [(row, rows) for row, rows in _list(value)]
    if len({_size(row) for row, _ in pairs}) < len(pairs):
        raise ValueError("a tensor whose rectangles are listed twice")
    return pairs


def _size(value: Any) -> int:
    if not is_size(value):
        raise ValueError(f"{value!r:.80} is not a count")
    size: int = value
    return size
