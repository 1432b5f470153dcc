"""Whole-file compression: one row of code per codec."""

import gzip
import io
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import TRUNCATED, RecordError, RecordFormatError
from .sink import Sink, StreamSink
from .source import MemorySource, Source, at_hand

MOST_RATIO = 1100
"""Maximal ratio of content to file size, with 32 MiB allowed beyond it.

A decompression bomb exceeds it, while deflate never does.
"""
_FREE = 32 << 20

_WINDOW = 32 << 20
"""Maximal window of zstd, in bytes, for which it takes memory."""
_PIECE = 1 << 20

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

_STEP = 1 << 16
"""Bytes of a gzip file per step: the data after a short member is copied for each."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A compression around a whole file."""

    name: str
    magic: bytes
    formats: tuple[str, ...]
    """The formats that it may be applied to."""
    level: int
    writer: Callable[[Any, int], Any]
    """Creates a file object that compresses into another one, at a level."""
    reader: Callable[[Source, int], bytearray]
    """Returns the content of a source, at most a given number of bytes."""

    @contextmanager
    def compressed(self, sink: Sink, level: int | None) -> Generator[Sink]:
        """Return a sink whose bytes are compressed into ``sink``."""
        level = self.level if level is None else level
        packed = _File(sink)
        with self.writer(packed, level) as file:
            content: Any = _File(StreamSink(file))
            try:
                yield StreamSink(content)
            except BaseException:
                # Python may end an interrupted save late, when the file is closed and
                # its descriptor belongs to another file: the last bytes would go there.
                packed.is_abandoned = True
                raise
        if content.written > _FREE + MOST_RATIO * packed.written:
            raise RecordError(
                f"the file would be over {MOST_RATIO} times shorter than its content, "
                "which readers reject as a decompression bomb; write .mpk.zst"
            )


def codec_named(name: str, form: str) -> Codec:
    """Return the codec ``name`` for the format ``form``, or raise ValueError."""
    for codec in CODECS:
        if codec.name == name and form in codec.formats:
            return codec
    names = ", ".join(sorted(["mpk.zst", *compressed_names()]))
    raise ValueError(
        f"{form!r} cannot be compressed by {name!r}; choose one of {names}"
    )


def compressed_names() -> list[str]:
    """Return each format with each of its possible compressions."""
    return [f"{form}.{codec.name}" for codec in CODECS for form in codec.formats]


def decompressed(source: Source) -> Source | None:
    """Return the content of a compressed file in memory, or None for other files."""
    head = bytes(source.read(0, min(8, source.size)))
    for codec in CODECS:
        if head.startswith(codec.magic):
            limit = _FREE + MOST_RATIO * source.size
            content = codec.reader(at_hand(source), limit)
            return MemorySource(content, name=source.name, verify=source.verify)
    return None


class _File(io.RawIOBase):
    """A sink as the file object that compressors write to."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.written = 0
        self.is_abandoned = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if not self.is_abandoned:
            self._sink.write(data)
        length = memoryview(data).nbytes
        self.written += length
        return length


def _gzip_writer(file: Any, level: int) -> Any:
    # Without a time and a name, so that equal records give equal bytes.
    return gzip.GzipFile(
        filename="", mode="wb", compresslevel=level, fileobj=file, mtime=0
    )


def _gzip_reader(source: Source, limit: int) -> bytearray:
    def start() -> Any:
        return zlib.decompressobj(wbits=31)

    def decode(inflate: Any, data: bytes) -> Iterator[bytes]:
        while True:
            piece = inflate.decompress(data, _PIECE)
            yield piece
            data = inflate.unconsumed_tail
            # Output that did not fit may be pending when no input is left.
            if not data and len(piece) < _PIECE:
                return

    try:
        return _content(source, limit, _GZIP, start, decode, _STEP)
    except zlib.error as error:
        raise RecordFormatError(source.name, f"damaged gzip ({error})") from error


def _zstd_writer(file: Any, level: int) -> Any:
    import zstandard

    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
    return compressor.stream_writer(file, closefd=False)


def _zstd_reader(source: Source, limit: int) -> bytearray:
    import zstandard

    context = zstandard.ZstdDecompressor(max_window_size=_WINDOW)

    def decode(decoder: Any, data: bytes) -> Iterator[bytes]:
        yield decoder.decompress(data)

    try:
        # The shortest block, of 4 bytes, becomes 128 KiB: so 1 KiB is 32 MiB at most.
        start = context.decompressobj
        return _content(source, limit, _ZSTD, start, decode, 1 << 10)
    except zstandard.ZstdError as error:
        raise RecordFormatError(source.name, f"damaged zstd ({error})") from error


def _content(
    source: Source,
    limit: int,
    magic: bytes,
    start: Callable[[], Any],
    decode: Callable[[Any, bytes], Iterator[bytes]],
    step: int,
) -> bytearray:
    """Return the joint content of all members of a file, as its tools do.

    A member begins with ``magic``; ``start`` returns a decoder for the next one, and
    ``decode`` decodes bytes.
    """
    content, decoder = bytearray(), start()
    for at in range(0, source.size, step):
        data = bytes(source.read(at, min(step, source.size - at)))
        while data:
            if decoder.eof:
                if not (data.startswith(magic) or magic.startswith(data)):
                    raise RecordFormatError(
                        source.name, "bytes after the compressed content"
                    )
                decoder = start()
            for piece in decode(decoder, data):
                content += piece
                if len(content) > limit:
                    raise _too_long(source, limit)
            data = decoder.unused_data if decoder.eof else b""
    if not decoder.eof:
        raise RecordFormatError(
            source.name, "a file that ends before its content does", cure=TRUNCATED
        )
    return content


def _too_long(source: Source, limit: int) -> RecordFormatError:
    return RecordFormatError(
        source.name,
        f"content of over {limit:,} bytes in a file of {source.size:,}",
        f"at most {MOST_RATIO} times the file and 32 MiB",
    )


CODECS = (
    Codec("gz", _GZIP, ("json", "mpk"), 6, _gzip_writer, _gzip_reader),
    Codec("zst", _ZSTD, ("json",), 3, _zstd_writer, _zstd_reader),
)
