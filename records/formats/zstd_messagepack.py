"""`.mpk.zst`: an `.mpk` document in independent zstd frames (docs/format.md).

Floats are stored in planes: their exponents are compressed, the rest is incompressible
and stored in frames as it is, so that this is faster and smaller than zstd on the
whole.
"""

import sys
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch

from ..entries.entries import Entries
from ..format import Format, WriteOptions
from ..header.file_index import FileIndex
from ..io.sink import Sink
from ..io.source import Source
from ..tensors.byte_planes import PLANED
from ..writing.contents import Contents
from .frame_source import FrameSource
from .layout import PART, DocumentLayout
from .messagepack import (
    check_readable,
    document_digest,
    document_fingerprint,
    document_head,
    document_tail,
    index_document,
    read_document,
)
from .zstd_frames import MARK, EncodedFrame, FrameWriter, compressor, literal_compressor

MOST_RATIO = 16
"""Maximal ratio of non-payload content to file size, with 1 MiB allowed beyond it."""

_LEVEL = 1
_FEW = 512
"""Values of a payload that is too short for a frame of its own."""
_SMALL = 1 << 16
"""Bytes of planes that are gathered with their neighbors."""
_SAMPLE = 4096


class ZstdMessagePack(Format):
    """Compressed, checked, and still read entry by entry."""

    name = "mpk.zst"
    suffixes = (".mpk.zst",)
    magic = MARK
    planed = PLANED
    has_index = True

    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        """Write the document frame by frame, and the table of frames last."""
        layout = DocumentLayout.of(contents.sizes)
        planes = [i for i, dtype in enumerate(contents.dtypes) if dtype in PLANED]
        head = document_head(contents, layout, planes=planes)
        writer = _Writer(sink, _LEVEL if options.level is None else options.level)
        writer.surroundings(head)
        writer.payloads(contents, layout)
        writer.surroundings(document_tail(contents.sums))
        check_readable(head, MOST_RATIO * writer.close(), len(layout.sizes))

    def decode(self, source: Source) -> Entries:
        """Return the record; parts that are not accessed stay compressed."""
        return read_document(FrameSource(source), budget=MOST_RATIO * source.size)

    def encode_index(
        self, contents: Contents, index: FileIndex, sink: Sink, options: WriteOptions
    ) -> None:
        """Write a document whose payloads are beside it, in frames."""
        planes = [i for i, dtype in enumerate(contents.dtypes) if dtype in PLANED]
        writer = _Writer(sink, _LEVEL if options.level is None else options.level)
        writer.surroundings(index_document(contents, index, planes=planes))
        writer.close()

    def digest(self, source: Source) -> bytes:
        """Return that of the document, regardless of its frames."""
        return document_digest(FrameSource(source))

    def fingerprint(self, source: Source) -> bytes:
        """Return that of the document, regardless of its frames."""
        return document_fingerprint(FrameSource(source))


class _Writer:
    """Decides what becomes a frame of its own, and how it is coded."""

    def __init__(self, sink: Sink, level: int) -> None:
        self._frames = FrameWriter(sink, level)
        self._level = level
        self._gathered = bytearray()
        self._n_raw = 0

    def surroundings(self, content: bytes) -> None:
        """Write what surrounds the payloads, never smaller than its reader accepts."""
        self._flush()
        for start in range(0, len(content), 1 << 20):
            part = content[start : start + (1 << 20)]
            if len(compressor(self._level).compress(part)) * MOST_RATIO < len(part):
                self._frames.raw(part)
            else:
                self._frames.matches(part)

    def payloads(self, contents: Contents, layout: DocumentLayout) -> None:
        """Write all payloads, framed as in the document."""
        dtypes, frames, parts = contents.dtypes, layout.frames(), layout.parts()
        row, room, following = -1, 0, iter(frames)
        for i, chunk in contents.chunks():
            if i != row:
                row, following = i, iter((frames[i], *parts.get(i, ())))
                room = PART if i in parts else sys.maxsize
                self._gather(next(following))
            # A block of planes is never split over two parts: their size is a multiple
            # of it.
            while len(chunk) > room:
                self._write(_coded(chunk[:room], dtypes[i], self._level))
                self._gather(next(following))
                chunk, room = chunk[room:], PART
            self._write(_coded(chunk, dtypes[i], self._level))
            room -= len(chunk)

    def close(self) -> int:
        """Write the table; return the number of bytes of the file."""
        self._flush()
        return self._frames.close()

    def _write(self, pieces: Sequence["_Piece"]) -> None:
        for piece in pieces:
            if isinstance(piece, EncodedFrame):
                self._flush()
                self._frames.add(piece)
            else:
                self._n_raw += len(piece.content) * piece.is_raw
                self._gather(piece.content)

    def _gather(self, content: bytes | memoryview) -> None:
        self._gathered += content
        if len(self._gathered) > 4 * _SMALL:
            self._flush()

    def _flush(self) -> None:
        if 2 * self._n_raw > len(self._gathered):
            self._frames.raw(self._gathered)
        else:
            self._frames.matches(self._gathered)
        self._gathered, self._n_raw = bytearray(), 0


class _Gathered(NamedTuple):
    """Content that is too short for a frame of its own."""

    content: memoryview
    is_raw: bool
    """Whether nothing is gained by compressing it."""


_Piece: TypeAlias = EncodedFrame | _Gathered


def _coded(chunk: memoryview, dtype: torch.dtype, level: int) -> list[_Piece]:
    """Yield the frames of a payload's chunk, and what is gathered with others."""
    n = len(chunk) // dtype.itemsize
    if n < _FEW:
        return [_Gathered(chunk, is_raw=False)]
    if dtype in PLANED:
        planes = [chunk[n : 2 * n], *([chunk[2 * n :]] if len(chunk) > 2 * n else [])]
        return [EncodedFrame.of_literals(chunk[:n]), *map(_coded_rest, planes)]
    if dtype.is_floating_point and dtype.itemsize == 1:
        return [EncodedFrame.of_literals(chunk)]
    return [EncodedFrame.of_matches(chunk, level)]


def _coded_rest(plane: memoryview) -> _Piece:
    """Return a plane that is random in most weights."""
    middle = len(plane) // 2
    sample = plane[middle : middle + _SAMPLE]
    if len(literal_compressor().compress(sample)) < len(sample) * 7 // 8:
        # Rounded values, or zeros: then this plane can be compressed too.
        return EncodedFrame.of_literals(plane)
    if len(plane) > _SMALL:
        return EncodedFrame.raw(plane)
    return _Gathered(plane, is_raw=True)


ZstdMessagePack.register()
