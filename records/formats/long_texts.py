"""Long strings of JSON, in memory that is returned to the system when dropped.

Memory freed by an allocator may stay with the process, and the headers of large files
are many times what an allocator returns.
"""

import mmap
from collections.abc import Iterator
from typing import TypeAlias

import orjson

from ..io.source import Source

LongText: TypeAlias = bytes | mmap.mmap
"""A string in UTF-8, whose slices are bytes."""

LONG = 4 << 20
"""Bytes from which a string is long; no parser of whole strings is given these."""
_PIECE = 1 << 20


def read_long_text(source: Source, offset: int, count: int) -> LongText:
    """Return ``count`` bytes at ``offset`` of ``source``."""
    if count < LONG:
        return bytes(source.read(offset, count))
    text = mmap.mmap(-1, count)
    for at in range(0, count, _PIECE):
        text.write(source.read(offset + at, min(_PIECE, count - at)))
    return text


def unescaped(text: memoryview) -> LongText:
    """Return the value of ``text``, the inside of a JSON string, padded with spaces.

    Raises `orjson.JSONDecodeError`.
    """
    if len(text) < LONG:
        return _decoded(bytes(text))
    content = mmap.mmap(-1, len(text))
    for piece in _pieces(text):
        content.write(_decoded(piece))
    content.write(b" " * (len(text) - content.tell()))
    return content


def _decoded(piece: bytes) -> bytes:
    value: str = orjson.loads(b'"%b"' % piece)
    return value.encode()


def _pieces(text: memoryview) -> Iterator[bytes]:
    """Yield ``text`` in pieces that end after a comma outside of escapes."""
    at, size = 0, _PIECE
    while at < len(text):
        piece = bytes(text[at : at + size])
        end = piece.rfind(b",") + 1 if at + len(piece) < len(text) else len(piece)
        if not end:
            size *= 2
            continue
        yield piece[:end]
        at, size = at + end, _PIECE
