"""Independent zstd frames, and the table with the location of each.

A file of frames can be read by any zstd decoder: `zstd -d` returns its content. The
table is that of zstd's seekable format, a skippable frame at the file's end.
"""

import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import xxhash
import zstandard

from ..io.sink import Buffer, Sink

MOST_CONTENT = 1 << 20
"""Maximal bytes of content in a frame, which is decoded to read a single one."""
MOST_FRAME = MOST_CONTENT + (1 << 16)

MARK = struct.pack("<II", 0x184D2A50, 8) + b"burnish\x01"
"""A skippable frame at the file's beginning, with the version of the format."""

_TABLE = 0x184D2A5E
_TABLE_MAGIC = 0x8F92EAB1
_HEAD = struct.Struct("<II")
_FOOT = struct.Struct("<IBI")
_LONGEST_BLOCK = 1 << 17


class EncodedFrame(NamedTuple):
    """A frame that is ready to be written."""

    buffers: Sequence[Buffer]
    n_content: int
    """Bytes of its content."""

    @classmethod
    def raw(cls, content: memoryview) -> "EncodedFrame":
        """Return ``content`` uncompressed, and not copied."""
        return cls(raw_frame(content), len(content))

    @classmethod
    def of_literals(cls, content: memoryview) -> "EncodedFrame":
        """Return ``content`` Huffman-coded bytewise; for content without repeats."""
        return cls((literal_compressor().compress(content),), len(content))

    @classmethod
    def of_matches(cls, content: memoryview, level: int) -> "EncodedFrame":
        """Return ``content`` compressed at ``level``."""
        return cls((compressor(level).compress(content),), len(content))


class FrameWriter:
    """Writes frames, and records their sizes for the table."""

    def __init__(self, sink: Sink, level: int) -> None:
        self._sink, self._level = sink, level
        self._sizes = [(len(MARK), 0)]
        sink.write(MARK)

    def add(self, frame: EncodedFrame) -> None:
        """Write a frame."""
        self._sink.writev(frame.buffers)
        self._sizes.append((sum(map(len, frame.buffers)), frame.n_content))

    def raw(self, content: Buffer) -> None:
        """Write ``content`` uncompressed."""
        for part in _parts(content):
            self.add(EncodedFrame.raw(part))

    def matches(self, content: Buffer) -> None:
        """Write ``content`` compressed at the writer's level."""
        for part in _parts(content):
            self.add(EncodedFrame.of_matches(part, self._level))

    def close(self) -> int:
        """Write the table; return the total number of bytes written."""
        sizes = np.array(self._sizes, np.uint32)
        head = _HEAD.pack(_TABLE, sizes.nbytes + _FOOT.size)
        foot = _FOOT.pack(len(sizes), 0, _TABLE_MAGIC)
        table = b"".join((head, sizes.astype("<u4").tobytes(), foot))
        self._sink.write(table)
        return int(sizes[:, 0].sum(dtype=np.int64)) + len(table)


def _parts(content: Buffer) -> Iterator[memoryview]:
    """Return ``content`` in the form that frames may hold."""
    data = memoryview(content).cast("B")
    for start in range(0, len(data), MOST_CONTENT):
        yield data[start : start + MOST_CONTENT]


def raw_frame(content: memoryview) -> list[Buffer]:
    """Return a frame of uncompressed blocks; ``content`` is not copied."""
    buffers: list[Buffer] = [b"\x28\xb5\x2f\xfd\xa4" + struct.pack("<I", len(content))]
    for start in range(0, len(content), _LONGEST_BLOCK):
        block = content[start : start + _LONGEST_BLOCK]
        is_last = start + len(block) == len(content)
        buffers += ((len(block) << 3 | is_last).to_bytes(3, "little"), block)
    digest = xxhash.xxh64_intdigest(content) & 0xFFFFFFFF
    buffers.append(struct.pack("<I", digest))
    return buffers


def compressor(level: int) -> zstandard.ZstdCompressor:
    """Return this thread's compressor: one used by two threads crashes the process."""
    compressors = _of_thread("compressors", dict[int, zstandard.ZstdCompressor])
    if level not in compressors:
        compressors[level] = zstandard.ZstdCompressor(level=level, write_checksum=True)
    return compressors[level]


def literal_compressor() -> zstandard.ZstdCompressor:
    """Return this thread's compressor that looks for no repetitions."""
    return _of_thread("literals", _literal_compressor)


def decompressor() -> zstandard.ZstdDecompressor:
    """Return this thread's decompressor."""
    return _of_thread("decompressor", zstandard.ZstdDecompressor)


def read_table(
    tail: Callable[[int], memoryview], size: int
) -> np.ndarray[Any, Any] | str:
    """Return each frame's size and its content's, as rows, or an error message.

    ``tail`` returns the last so many bytes of the file of ``size`` bytes.
    """
    if size < len(MARK) + _HEAD.size + 8 + _FOOT.size:
        return "a truncated file, which was cut short"
    count, descriptor, magic = _FOOT.unpack(tail(_FOOT.size))
    length = 8 * count + _FOOT.size
    if magic != _TABLE_MAGIC or descriptor or _HEAD.size + length > size or not count:
        return (
            "a truncated file, cut short before the table of frames at its end, or one "
            "to which data was appended"
        )
    table = tail(_HEAD.size + length)
    if _HEAD.unpack(table[: _HEAD.size]) != (_TABLE, length):
        return "a damaged table of frames"
    rows = np.frombuffer(table, "<u4", 2 * count, _HEAD.size).reshape(-1, 2)
    rows = rows.astype(np.int64)
    contents = rows[1:, 1]
    if (
        tuple(rows[0]) != (len(MARK), 0)
        or int(rows[:, 0].sum()) + len(table) != size
        or (
            len(contents) and not (0 < contents.min() <= contents.max() <= MOST_CONTENT)
        )
        or rows[:, 0].max() > MOST_FRAME
    ):
        return "a table of frames that do not fill the file"
    return rows


def _literal_compressor() -> zstandard.ZstdCompressor:
    # The smallest hash table and the longest minimal match: almost nothing repeats, so
    # that zstd only codes single bytes. Levels below 1 would omit that coding.
    params = zstandard.ZstdCompressionParameters.from_level(
        1,
        strategy=zstandard.STRATEGY_FAST,
        min_match=7,
        hash_log=6,
        chain_log=6,
        window_log=18,
        write_checksum=True,
    )
    return zstandard.ZstdCompressor(compression_params=params)


_T = TypeVar("_T")
_local = threading.local()


def _of_thread(name: str, make: Callable[[], _T]) -> _T:
    value: _T | None = getattr(_local, name, None)
    if value is None:
        value = make()
        setattr(_local, name, value)
    return value
