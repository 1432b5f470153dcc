"""`.mpk.zst`: an `.mpk` document in independent zstd frames (docs/format.md).

Floats are stored in planes: their exponents are coded, the rest is incompressible and
framed as it is, so that this is faster and smaller than zstd on the whole.
"""

import sys
from collections.abc import Sequence

import torch

from ..entries.entries import Entries
from ..format import Format, WriteOptions
from ..header.file_index import FileIndex
from ..io.sink import Sink
from ..io.source import Source
from ..tensors.byte_planes import PLANED
from ..writing.contents import Contents, RowPayload
from .frame_source import FrameSource
from .layout import PART, DocumentLayout
from .messagepack import (
    check_readable,
    document_digest,
    document_head,
    document_tail,
    index_document,
    read_document,
)
from .zstd_frames import MARK, FrameWriter, compressor, literal_compressor

MOST_RATIO = 16
"""What is no payload may be this much longer than the file, and 1 MiB more."""

_LEVEL = 1
_FEW = 512
"""Values of a payload that is too short for a frame of its own."""
_SMALL = 1 << 16
"""Bytes of planes that are gathered with their neighbours."""
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
        frames, parts = layout.frames(), layout.parts()
        for i, payload in enumerate(contents.payloads()):
            writer.payload(payload, (frames[i], *parts.get(i, ())))
        writer.surroundings(document_tail(contents.sums))
        check_readable(head, MOST_RATIO * writer.close(), len(layout.sizes))

    def decode(self, source: Source) -> Entries:
        """Return the record; what is not touched stays compressed."""
        return read_document(FrameSource(source), budget=MOST_RATIO * source.size)

    def encode_index(
        self, contents: Contents, index: FileIndex, sink: Sink, options: WriteOptions
    ) -> None:
        """Write a document whose payloads lie beside it, in frames."""
        planes = [i for i, dtype in enumerate(contents.dtypes) if dtype in PLANED]
        writer = _Writer(sink, _LEVEL if options.level is None else options.level)
        writer.surroundings(index_document(contents, index, planes=planes))
        writer.close()

    def digest(self, source: Source) -> bytes:
        """Return that of the document, whatever frames it is in."""
        return document_digest(FrameSource(source))


class _Writer:
    """Decides what becomes a frame of its own, and how that is coded."""

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

    def payload(self, payload: RowPayload, frames: Sequence[bytes]) -> None:
        """Write a payload, framed as the document has it."""
        dtype, following = payload.row.dtype, iter(frames)
        room = PART if len(frames) > 1 else sys.maxsize
        self._gather(next(following))
        for data in payload:
            # A block of planes never lies in two parts: their size is a multiple of it.
            while len(data) > room:
                self._write(data[:room], dtype)
                self._gather(next(following))
                data, room = data[room:], PART
            self._write(data, dtype)
            room -= len(data)

    def close(self) -> int:
        """Write the table; return how many bytes the file has."""
        self._flush()
        return self._frames.close()

    def _write(self, data: memoryview, dtype: torch.dtype) -> None:
        n = len(data) // dtype.itemsize
        if n < _FEW:
            self._gather(data)
        elif dtype in PLANED:
            self._flush()
            self._frames.literals(data[:n])
            self._write_rest(data[n : 2 * n])
            self._write_rest(data[2 * n :])
        else:
            self._flush()
            if dtype.is_floating_point and dtype.itemsize == 1:
                self._frames.literals(data)
            else:
                self._frames.matches(data)

    def _write_rest(self, plane: memoryview) -> None:
        middle = len(plane) // 2
        sample = plane[middle : middle + _SAMPLE]
        if len(literal_compressor().compress(sample)) < len(sample) * 7 // 8:
            # Rounded values, or zeros: then this plane too has something to gain.
            self._flush()
            self._frames.literals(plane)
        elif len(plane) > _SMALL:
            self._flush()
            self._frames.raw(plane)
        else:
            self._n_raw += len(plane)
            self._gather(plane)

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


ZstdMessagePack.register()
