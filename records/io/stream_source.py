"""Bytes of an open file object: from its position to its end, read in order."""

import errno
import io
import os
from typing import Any, BinaryIO

from ...config.process.process_lock import ProcessLock
from ...config.short_text import quantity
from .source import ClosedFileError, Source, check_extent, early_end


class StreamSource:
    """A seekable binary file object, from its position to its end."""

    def __init__(
        self, file: BinaryIO, *, verify: bool = True, name: str | None = None
    ) -> None:
        self.name = name or name_of_stream(file)
        self.verify, self._file = verify, file
        self._lock = ProcessLock()
        self.start = file.tell()
        """The position of the file object when it was passed."""
        # Not every seek() returns the new position, and any may go beyond the end.
        file.seek(0, io.SEEK_END)
        self.size = max(file.tell() - self.start, 0)
        file.seek(self.start)

    def read(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset``; RecordFormatError for fewer."""
        check_extent(self, offset, count)
        pieces = bytearray()
        # The position belongs to the file object: one thread at a time moves it.
        with self._lock.here:
            if self._file.closed:
                raise ClosedFileError(
                    f"{self.name} was closed; read what you need before you close it"
                )
            self._file.seek(self.start + offset)
            while len(pieces) < count:
                piece = read_stream(self._file, count - len(pieces))
                if not piece:
                    raise early_end(self.name)
                pieces += piece
        return memoryview(pieces)

    def view(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset``."""
        return self.read(offset, count)

    def mapped(self) -> Source:
        """Return itself: a file object is always read, and views are copies."""
        return self

    def close(self) -> None:
        """Do nothing: the caller that opened the file closes it."""


def name_of_stream(file: object) -> str:
    """Return the name of a file object in errors; some have a number as a name."""
    name = getattr(file, "name", None)
    return str(name) if name and isinstance(name, str | os.PathLike) else "file object"


def read_stream(file: Any, most: int = -1) -> bytes:
    """Return the result of ``file.read(most)``, if it is valid for a binary file.

    BlockingIOError if a file object does not wait for its bytes: having none yet is not
    its end.
    """
    piece = file.read() if most < 0 else file.read(most)
    if isinstance(piece, str):
        raise text_mode()
    if piece is None:
        raise BlockingIOError(
            errno.EAGAIN,
            "nothing to read yet, and the file object does not wait for it; make it "
            "blocking, or read all of it into bytes first",
            name_of_stream(file),
        )
    if 0 <= most < len(piece):
        raise ValueError(
            f"{name_of_stream(file)}: read({most}) returned "
            f"{quantity(len(piece), 'byte')}, expected at most {most}; read all of it "
            "into bytes first"
        )
    return piece  # type: ignore[no-any-return]  # what a binary file returns


def text_mode() -> TypeError:
    """Return the error for a file object that reads text."""
    return TypeError("the file is open in text mode; open it with mode 'rb'")
