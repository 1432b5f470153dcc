"""Whole-file compression: one row of code per codec."""

import gzip
import io
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .errors import RecordFormatError
from .sink import Sink, StreamSink
from .source import MemorySource, Source

MOST_RATIO = 1000
"""Content may be this much longer than its file, and 64 MiB more; a bomb is longer."""
_FREE = 64 << 20


@dataclass(frozen=True, slots=True)
class Codec:
    """A compression around a whole file."""

    name: str
    magic: bytes
    formats: tuple[str, ...]
    """The formats that it may be put around."""
    level: int
    writer: Callable[[Any, int], Any]
    """Makes a file object that compresses into another one, at a level."""
    reader: Callable[[Source, int], bytearray]
    """Returns the content of a source, at most so many bytes of it."""

    @contextmanager
    def compressed(self, sink: Sink, level: int | None) -> Generator[Sink]:
        """Return a sink whose bytes arrive compressed in ``sink``."""
        level = self.level if level is None else level
        with self.writer(_File(sink), level) as file:
            yield StreamSink(file)


def codec_named(name: str, form: str) -> Codec:
    """Return the codec ``name`` around the format ``form``, or raise ValueError."""
    for codec in CODECS:
        if codec.name == name and form in codec.formats:
            return codec
    pairs = [f"{f}.{codec.name}" for codec in CODECS for f in codec.formats]
    known = ", ".join(["mpk.zst", *pairs])
    raise ValueError(f"{form!r} cannot be compressed by {name!r}; there are {known}")


def decompressed(source: Source) -> Source | None:
    """Return the content of a compressed file in memory, or None if it is not one."""
    head = bytes(source.read(0, min(8, source.size)))
    for codec in CODECS:
        if head.startswith(codec.magic):
            limit = _FREE + MOST_RATIO * source.size
            content = codec.reader(source, limit)
            return MemorySource(content, name=source.name, verify=source.verify)
    return None


class _File(io.RawIOBase):
    """A sink as the file object that compressors write to."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._sink.write(data)
        return memoryview(data).nbytes


def _gzip_writer(file: Any, level: int) -> Any:
    # No clock and no name: equal records give equal bytes.
    return gzip.GzipFile(
        filename="", mode="wb", compresslevel=level, fileobj=file, mtime=0
    )


def _gzip_reader(source: Source, limit: int) -> bytearray:
    inflate = zlib.decompressobj(wbits=31)
    content = bytearray()
    try:
        for at in range(0, source.size, 1 << 20):
            data: Any = source.read(at, min(1 << 20, source.size - at))
            while data and not inflate.eof:
                content += inflate.decompress(data, 1 << 20)
                data = inflate.unconsumed_tail
                if len(content) > limit:
                    raise _too_long(source, limit)
            if inflate.eof and (inflate.unused_data or at + (1 << 20) < source.size):
                raise RecordFormatError(
                    source.name, "bytes after the compressed content"
                )
    except zlib.error as error:
        raise RecordFormatError(source.name, f"damaged gzip ({error})") from error
    if not inflate.eof:
        raise RecordFormatError(source.name, "gzip that ends before its content")
    return content


def _zstd_writer(file: Any, level: int) -> Any:
    import zstandard

    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
    return compressor.stream_writer(file, closefd=False)


def _zstd_reader(source: Source, limit: int) -> bytearray:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    content = bytearray()
    try:
        for at in range(0, source.size, 1 << 14):
            content += decompressor.decompress(
                bytes(source.read(at, min(1 << 14, source.size - at)))
            )
            if len(content) > limit:
                raise _too_long(source, limit)
            if decompressor.eof and (
                decompressor.unused_data or at + (1 << 14) < source.size
            ):
                raise RecordFormatError(
                    source.name, "bytes after the compressed content"
                )
    except zstandard.ZstdError as error:
        raise RecordFormatError(source.name, f"damaged zstd ({error})") from error
    if not decompressor.eof:
        raise RecordFormatError(source.name, "zstd that ends before its content")
    return content


def _too_long(source: Source, limit: int) -> RecordFormatError:
    return RecordFormatError(
        source.name,
        f"content of over {limit:,} bytes in a file of {source.size:,}",
        f"at most {MOST_RATIO} times the file and 64 MiB",
    )


CODECS = (
    Codec("gz", b"\x1f\x8b", ("json", "mpk"), 6, _gzip_writer, _gzip_reader),
    Codec("zst", b"\x28\xb5\x2f\xfd", ("json",), 3, _zstd_writer, _zstd_reader),
)
