"""Where each payload of an `.mpk` document lies."""

import struct
from dataclasses import dataclass
from functools import lru_cache

ALIGN = 64
"""Payloads begin at multiples of this: a cache line, and the widest vector."""
LONGEST_BIN = 2**32 - 1
"""What MessagePack's `bin` can hold; a longer payload has several parts."""

PART = 1 << 30
"""Bytes of each part of such a payload but the last."""

_ARRAY = 5
"""Bytes of the head of the array of pads and payloads."""
_FRAME = 7
"""Bytes of an empty pad and of the head of a payload."""


@dataclass(slots=True)
class Layout:
    """Where each payload of a document lies, counted from the start of `data`."""

    sizes: list[int]
    starts: list[int]
    frames: list[bytes]
    """The pad and the head before each payload."""
    parts: dict[int, list[bytes]]
    """Of the few payloads that have several parts: the frames of all but the first."""
    end: int

    @classmethod
    def of(cls, sizes: list[int]) -> "Layout":
        """Return the layout of payloads of ``sizes`` bytes, in their order."""
        starts: list[int] = []
        frames: list[bytes] = []
        parts: dict[int, list[bytes]] = {}
        at = _ARRAY
        for i, size in enumerate(sizes):
            start = -(-(at + _FRAME) // ALIGN) * ALIGN
            starts.append(start)
            if size <= LONGEST_BIN:
                frames.append(_frame(start - at - _FRAME, size))
                at = start + size
                continue
            lengths = [min(PART, size - done) for done in range(0, size, PART)]
            frames.append(_frame(start - at - _FRAME, lengths[0]))
            # A part ends on a multiple of 64, so each pad after it is a full one.
            parts[i] = [_frame(ALIGN - _FRAME, length) for length in lengths[1:]]
            at = start + size + ALIGN * (len(lengths) - 1)
        return cls(sizes, starts, frames, parts, at)

    @property
    def n_items(self) -> int:
        """How many pads and payloads there are in `data`."""
        return 2 * (len(self.sizes) + sum(map(len, self.parts.values())))


@lru_cache(maxsize=4096)
def _frame(pad: int, size: int) -> bytes:
    return b"\xc4" + bytes([pad]) + _ZEROS[:pad] + struct.pack(">BI", 0xC6, size)


_ZEROS = bytes(ALIGN)
