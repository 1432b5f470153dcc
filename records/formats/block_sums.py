"""Checksums of blocks of payloads, by which a part of a tensor can be verified.

They follow the checksums of the payloads, and are never among the entries
(docs/format.md).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import xxhash

from ..entries.entry import Entry
from ..errors import RecordFormatError
from ..io.blocked_payload import BlockedPayload
from ..io.lazy_payload import LazyPayload
from ..io.sink import Buffer, Sink
from .layout import DocumentLayout, pieces_of

VERSION = 4
"""Version of a document with such checksums."""

KEY = "block"
"""The header key for the bytes of a block."""

_SIZES = (1 << 20, 2 << 20, 4 << 20)
_FIRST = 5
"""Where the first pad begins, counted from the start of `data`."""


def take_block_size(header: dict[str, Any], file: str) -> int:
    """Remove the size from ``header``; RecordFormatError if it is invalid."""
    size = header.pop(KEY, None)
    if type(size) is not int or size not in _SIZES:
        raise RecordFormatError(file, f"blocks of {size!r:.40} bytes", "1, 2 or 4 MiB")
    return size


def block_counts(sizes: Sequence[int], block: int) -> list[int]:
    """Return the number of blocks with checksums of payloads of ``sizes`` bytes.

    A payload that is not longer than a block has none, since its own checksum suffices.
    """
    return [-(-size // block) if size > block else 0 for size in sizes]


def payloads_in_blocks(
    payload_of: Callable[[int, Entry], LazyPayload],
    block: int,
    counts: Sequence[int],
    sums: bytes,
) -> Callable[[int, Entry], LazyPayload]:
    """Return what gives the payloads of ``payload_of`` the checksums of their blocks.

    ``counts`` is their number for each, and ``sums`` has all of them concatenated.
    """
    starts = [*accumulate(counts, initial=0)]

    def blocked_payload_of(i: int, entry: Entry) -> LazyPayload:
        payload = payload_of(i, entry)
        if not counts[i]:
            return payload
        return BlockedPayload(
            payload.source,
            payload.path,
            payload.dtype,
            payload.shape,
            payload.place,
            payload.sum,
            block=block,
            block_sums=sums[8 * starts[i] : 8 * starts[i + 1]],
        )

    return blocked_payload_of


class BlockSums:
    """A sink that hashes the blocks of payloads on their way into another one."""

    def __init__(self, sink: Sink, layout: DocumentLayout, block: int) -> None:
        """``sink`` is positioned before the first pad of ``layout``."""
        self._sink = sink
        self._blocks = _blocks(layout, block)
        self._block = next(self._blocks, None)
        self._at = _FIRST
        self._total = xxhash.xxh3_64()
        self._sums: list[bytes] = []

    @property
    def sums(self) -> bytes:
        """The checksums of all blocks, once everything was written."""
        return b"".join(self._sums)

    def write(self, buffer: Buffer) -> None:
        """Write all of ``buffer``."""
        self._add(buffer)
        self._sink.write(buffer)

    def writev(self, buffers: Sequence[Buffer]) -> None:
        """Write all of ``buffers``, in order."""
        for buffer in buffers:
            self._add(buffer)
        self._sink.writev(buffers)

    def _add(self, buffer: Buffer) -> None:
        view = memoryview(buffer).cast("B")
        begin, end = self._at, self._at + len(view)
        while self._block is not None and self._block[0] < end:
            block_begin, block_end = self._block
            self._total.update(view[max(block_begin - begin, 0) : block_end - begin])
            if block_end > end:
                break
            self._sums.append(self._total.digest())
            self._total.reset()
            self._block = next(self._blocks, None)
        self._at = end


def _blocks(layout: DocumentLayout, block: int) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each block."""
    for start, size in zip(layout.starts, layout.sizes, strict=True):
        if size > block:
            # A part of a long payload has a whole number of blocks, or is the last.
            for offset, count in pieces_of(start, size):
                for at in range(offset, offset + count, block):
                    yield at, min(at + block, offset + count)
