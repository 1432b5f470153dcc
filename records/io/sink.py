"""Output of bytes: a file that appears atomically, an open file, memory.

The system is asked to write a file's bytes to disk while they arrive.
"""

import ctypes
import errno
import io
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import EllipsisType
from typing import Any, BinaryIO, Protocol, SupportsIndex, TypeAlias

from ...config.process.interrupts import suppressed
from ...config.storage.replacement import replacement, write_all
from .remote.address import Address, local_or_url
from .remote.upload import uploading

Buffer: TypeAlias = Any
"""Bytes, a memoryview or a ctypes array whose length is its number of bytes."""

File: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A path, a URL, or a binary file that is open for writing."""

Destination: TypeAlias = File | EllipsisType
"""A file; if omitted, bytes are returned."""

_MOST_BUFFERS = 1024
"""Maximal number of buffers per writev (IOV_MAX of Linux and macOS)."""


class Sink(Protocol):
    """The output of a format; buffers are not kept after a call."""

    def write(self, buffer: Buffer) -> None:
        """Write all of ``buffer``."""
        ...

    def writev(self, buffers: Sequence[Buffer]) -> None:
        """Write all of ``buffers``, in order, in as few system calls as possible."""
        ...


class FileSink:
    """Writes to a file descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.start: int | None = None
        """Where writing began; None for pipes and the like."""
        with suppressed(OSError):
            self.start = os.lseek(fd, 0, os.SEEK_CUR)
        self._writeback = Writeback(fd, self.start or 0)

    def patch(self, offset: int, buffer: bytes) -> None:
        """Overwrite what was written at ``offset`` of the file."""
        view = memoryview(buffer)
        while view:
            n_written = os.pwrite(self._fd, view, offset)
            view, offset = view[n_written:], offset + n_written

    def write(self, buffer: Buffer) -> None:
        """Write all of ``buffer``."""
        write_all(self._fd, buffer)
        self._writeback.advance(len(buffer))

    def writev(self, buffers: Sequence[Buffer]) -> None:
        """Write all of ``buffers``, in order, in as few system calls as possible."""
        for start in range(0, len(buffers), _MOST_BUFFERS):
            batch = buffers[start : start + _MOST_BUFFERS]
            n_written = os.writev(self._fd, batch)
            # A length per buffer would cost more than the call; c_char arrays have one.
            if n_written != sum(map(len, batch)):
                self._finish(batch, n_written)
            self._writeback.advance(n_written)

    def _finish(self, batch: Sequence[Buffer], n_written: int) -> None:
        for buffer in batch:
            view = memoryview(buffer).cast("B")
            if n_written >= len(view):
                n_written -= len(view)
                continue
            self.write(view[n_written:])
            n_written = 0


class StreamSink:
    """Writes to a binary file object."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def has_number(self) -> bool:
        """Return whether it represents an open file of the system."""
        # Whatever else a user's file object returns, it is not a descriptor.
        with suppressed(Exception):
            return isinstance(self._file.fileno(), int)
        return False

    def write(self, buffer: Buffer) -> None:
        """Write all of ``buffer``."""
        view = memoryview(buffer).cast("B")
        while len(view):
            view = view[self._write_some(view) :]

    def _write_some(self, view: memoryview) -> int:
        """Write a part of ``view``, and return its number of bytes."""
        n_written: Any = self._file.write(view)
        if n_written is None:
            # For a raw file None means that it would block, for others that they are
            # done.
            if isinstance(self._file, io.RawIOBase):
                raise BlockingIOError(
                    errno.EAGAIN,
                    f"{self._file!r:.80} is non-blocking, so bytes would be "
                    "lost; make it blocking: os.set_blocking(file.fileno(), "
                    "True), or settimeout(None) of a socket; in your own class, "
                    "write() must return how many bytes it took",
                )
            return len(view)
        # True, which some return on success, would count as one byte.
        is_count = isinstance(n_written, SupportsIndex) and n_written is not True
        if not (is_count and 0 < int(n_written) <= len(view)):
            raise OSError(
                f"{self._file!r:.80} accepts no more bytes: asked to write "
                f"{len(view):,}, its write() returned {n_written!r:.40}, "
                "expected the number of bytes that it took, or None for all"
            )
        return int(n_written)

    def writev(self, buffers: Sequence[Buffer]) -> None:
        """Write all of ``buffers``, in order, many short ones in one call."""
        # A large one comes with its frame, and is passed on without a copy.
        if len(buffers) > _FEW_BUFFERS:
            buffers = (b"".join(buffers),)
        for buffer in buffers:
            self.write(buffer)


_FEW_BUFFERS = 2


def is_written_by_system(sink: Sink) -> bool:
    """Return whether other Python threads run while ``sink`` writes.

    They do during a system call, and not while memory is filled.
    """
    if isinstance(sink, StreamSink):
        return sink.has_number()
    return isinstance(sink, FileSink)


def can_write_over(sink: Sink) -> bool:
    """Return whether written bytes can be overwritten: not in a stream."""
    return isinstance(sink, FileSink) and sink.start is not None


def write_over(sink: Sink, offset: int, buffer: bytes) -> None:
    """Overwrite bytes ``offset`` after the first one that the sink wrote."""
    if not isinstance(sink, FileSink) or sink.start is None:
        raise TypeError("only a file can be overwritten")
    sink.patch(sink.start + offset, buffer)


@contextmanager
def open_sink(file: File, about_size: Callable[[], int] = lambda: 0) -> Generator[Sink]:
    """Open ``file`` for writing; a path is replaced atomically at the end.

    So is an object at a URL, whose storage is given the expected number of bytes.
    """
    if isinstance(file, str | os.PathLike):
        place = local_or_url(file)
        if isinstance(place, Address):
            with uploading(place, about_size()) as upload:
                yield StreamSink(upload)
            return
        with replacement(place) as fd:
            yield FileSink(fd)
    elif isinstance(file, io.TextIOBase):
        raise TypeError("the file is open in text mode; open it with mode 'wb'")
    elif hasattr(file, "write"):
        try:
            yield StreamSink(file)
        except BaseException:
            _discard(file)
            raise
    else:
        raise TypeError(
            "a record is written to a path or to an open binary file, got "
            f"{file!r:.80}"
            + ("; os.fsdecode makes it a path" if isinstance(file, bytes) else "")
        )


def _discard(file: Any) -> None:
    """Make an fsspec file that is being uploaded keep the old object.

    Closing it, at the end of its ``with`` block, would commit the partial content.
    """
    if hasattr(file, "_upload_chunk") and getattr(file, "autocommit", False):
        file.autocommit = False
        file.discard()
        file.closed = True


_STEP = 8 << 20
"""Bytes between two hints to the disk: few calls, each long enough for a fast disk."""

_WRITE = 2
"""SYNC_FILE_RANGE_WRITE of fcntl.h: start writing the range, without waiting."""


class Writeback:
    """Lets a disk start with the bytes of a file as they come.

    Otherwise it idles until the file is complete, and the sync at its end waits for all
    of them. It is a hint: if the system has no such call, or a file system does not
    support it, the sync does everything, and reports the errors of the disk.
    """

    def __init__(self, fd: int, start: int) -> None:
        """``start`` is the position of the next byte in the file."""
        self._fd, self._begun, self._n_written = fd, start, start

    def advance(self, count: int) -> None:
        """Record that ``count`` more bytes were written."""
        self._n_written += count
        if self._n_written - self._begun >= _STEP:
            _sync_range(self._fd, self._begun, self._n_written - self._begun, _WRITE)
            self._begun = self._n_written


def _sync_file_range() -> Callable[[int, int, int, int], object]:
    """Return the call of Linux; on other systems, one that does nothing."""
    arguments = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    try:
        return ctypes.CFUNCTYPE(ctypes.c_int, *arguments)(
            ("sync_file_range", ctypes.CDLL(None))
        )
    except AttributeError:
        return lambda *_: None


_sync_range = _sync_file_range()
