"""The location of each payload of an `.mpk` document."""

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

ALIGN = 64
"""Payloads begin at multiples of this: a cache line, and the widest vector."""
LONGEST_BIN = 2**32 - 1
"""The limit of MessagePack's `bin`; a longer payload has several parts."""

PART = 1 << 30
"""Bytes of each part of such a payload except for the last."""

_ARRAY = 5
"""Bytes of the head of the array of pads and payloads."""
_FRAME = 7
"""Bytes of an empty pad and of the head of a payload."""
_TO_NEXT = _FRAME + ALIGN - 1
"""Added to a payload's bytes, then rounded down to the start of the next."""


@dataclass(frozen=True, slots=True)
class DocumentLayout:
    """The location of each payload of a document, counted from the start of `data`."""

    sizes: "array[int]"
    """In bytes; for a record with many entries, a list would be five times as large."""
    starts: "array[int]"
    end: int

    @classmethod
    def of(cls, sizes: Sequence[int]) -> "DocumentLayout":
        """Return the layout of payloads of ``sizes`` bytes, in their order."""
        if not sizes:
            return cls(array("q"), array("q"), _ARRAY)
        # This runs for thousands at every save and load, and reading a single one waits
        # for it.
        extents = np.array(sizes, dtype=np.int64)
        if max(sizes) > LONGEST_BIN:
            extents[:] = [*map(_extent, sizes)]
        starts = np.empty(len(sizes), dtype=np.int64)
        starts[0] = ALIGN
        np.cumsum((extents[:-1] + _TO_NEXT) & -ALIGN, out=starts[1:])
        starts[1:] += ALIGN
        end = int(starts[-1] + extents[-1])
        return cls(array("q", sizes), array("q", starts.tobytes()), end)

    def frames(self) -> list[bytes]:
        """Return the pad and the head before each payload."""
        frames: list[bytes] = []
        at = _ARRAY
        for size, start in zip(self.sizes, self.starts, strict=True):
            pad = start - at - _FRAME
            if size <= LONGEST_BIN:
                frames.append(_frame(pad, size))
                at = start + size
            else:
                lengths = _lengths(size)
                frames.append(_frame(pad, lengths[0]))
                at = start + size + ALIGN * (len(lengths) - 1)
        return frames

    def parts(self) -> dict[int, list[bytes]]:
        """Return the frames of all parts but the first, by number of payload."""
        if max(self.sizes, default=0) <= LONGEST_BIN:
            return {}
        # A part ends on a multiple of 64, so each pad after it has full length.
        return {
            i: [_frame(ALIGN - _FRAME, length) for length in _lengths(size)[1:]]
            for i, size in enumerate(self.sizes)
            if size > LONGEST_BIN
        }

    @property
    def n_items(self) -> int:
        """The number of pads and payloads in `data`."""
        return 2 * (len(self.sizes) + sum(map(len, self.parts().values())))


def place_of(start: int, size: int) -> int | tuple[tuple[int, int], ...]:
    """Return the location of a payload in the form for `LazyPayload`."""
    return start if size <= LONGEST_BIN else pieces_of(start, size)


def pieces_of(start: int, size: int) -> tuple[tuple[int, int], ...]:
    """Return location and length of each part of a payload; most have one."""
    if size <= LONGEST_BIN:
        return ((start, size),)
    return tuple(
        (start + n * (PART + ALIGN), length) for n, length in enumerate(_lengths(size))
    )


def _extent(size: int) -> int:
    """Return the distance from the start of a payload to its end, frames included."""
    n_parts = 1 if size <= LONGEST_BIN else len(_lengths(size))
    return size + ALIGN * (n_parts - 1)


def _lengths(size: int) -> list[int]:
    return [min(PART, size - start) for start in range(0, size, PART)]


@lru_cache(maxsize=4096)
def _frame(pad: int, size: int) -> bytes:
    return b"\xc4" + bytes([pad]) + _ZEROS[:pad] + struct.pack(">BI", 0xC6, size)


_ZEROS = bytes(ALIGN)
