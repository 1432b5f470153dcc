"""Where bytes go: a file that appears whole or not at all, an open file, memory."""

import errno
import fcntl
import glob
import io
import os
import secrets
import stat
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from types import EllipsisType
from typing import Any, BinaryIO, Protocol, TypeAlias

Buffer: TypeAlias = Any
"""Bytes, a memoryview or a ctypes array whose length is its number of bytes."""

Destination: TypeAlias = str | os.PathLike[str] | BinaryIO | EllipsisType
"""A path, a writable binary file; left out: bytes are returned."""

Progress: TypeAlias = Callable[[int, int, str], object]
"""Called with (bytes done, bytes in all, path of the entry)."""

_MOST_BUFFERS = 1024
"""How many buffers one writev takes (IOV_MAX of Linux and macOS)."""


class Sink(Protocol):
    """What a format writes to; buffers are not kept after a call."""

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

    def write(self, buffer: Buffer) -> None:
        """Write all of ``buffer``."""
        view = memoryview(buffer).cast("B")
        done = os.write(self._fd, view)
        while done < len(view):
            done += os.write(self._fd, view[done:])

    def writev(self, buffers: Sequence[Buffer]) -> None:
        """Write all of ``buffers``, in order, in as few system calls as possible."""
        for start in range(0, len(buffers), _MOST_BUFFERS):
            batch = buffers[start : start + _MOST_BUFFERS]
            done = os.writev(self._fd, batch)
            # A length per buffer would cost more than the call; c_char arrays have it.
            if done != sum(map(len, batch)):
                self._finish(batch, done)

    def _finish(self, batch: Sequence[Buffer], done: int) -> None:
        for buffer in batch:
            view = memoryview(buffer).cast("B")
            if done >= len(view):
                done -= len(view)
                continue
            self.write(view[done:])
            done = 0


class StreamSink:
    """Writes to a binary file object."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, buffer: Buffer) -> None:
        """Write all of ``buffer``."""
        view = memoryview(buffer).cast("B")
        while len(view):
            # A raw file may write less than asked; files that return None wrote all.
            done: Any = self._file.write(view)
            if done == 0:
                raise OSError(f"{self._file} takes no more bytes")
            view = view[len(view) if done is None else done :]

    def writev(self, buffers: Sequence[Buffer]) -> None:
        """Write all of ``buffers``, in order."""
        for buffer in buffers:
            self.write(buffer)


@contextmanager
def open_sink(file: str | os.PathLike[str] | BinaryIO) -> Generator[Sink]:
    """Open ``file`` for writing; a path appears whole at the end or stays as it was."""
    if not isinstance(file, str | os.PathLike):
        yield StreamSink(file)
        return
    path = os.path.realpath(os.fspath(file))
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "a folder is in the way", path)
        with io.open(path, "wb", buffering=0) as device:  # noqa: UP020  # a raw file
            yield FileSink(device.fileno())
        return
    try:
        with _replacing(path, mode) as sink:
            yield sink
    except OSError as error:
        raise _explained(error, path) from error


@contextmanager
def _replacing(path: str, mode: int | None) -> Generator[FileSink]:
    folder, name = os.path.split(path)
    _sweep(folder, name)
    fd, scratch = _scratch(folder, name)
    try:
        if mode is not None:
            os.fchmod(fd, stat.S_IMODE(mode))
        yield FileSink(fd)
        os.fsync(fd)
        # Same folder, so the rename is atomic: a reader sees the old file or the new.
        os.replace(scratch, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(scratch)
        raise
    finally:
        os.close(fd)
    _sync_folder(folder)


def _scratch(folder: str, name: str) -> tuple[int, str]:
    """Return a new locked file beside ``name``; the lock says that its writer lives."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    while True:
        # Names have at most 255 bytes, and the temporary needs 14 more than the file.
        scratch = os.path.join(folder, f".{name[:200]}.{secrets.token_hex(4)}.tmp")
        fd = os.open(scratch, flags, 0o666)
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_same_file(fd, scratch):
            return fd, scratch
        os.close(fd)


def _sweep(folder: str, name: str) -> None:
    """Remove the temporaries of writers that are dead: nobody holds their lock."""
    pattern = os.path.join(
        glob.escape(folder), f".{glob.escape(name[:200])}.????????.tmp"
    )
    for scratch in glob.glob(pattern):
        with suppress(OSError):
            fd = os.open(scratch, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_same_file(fd, scratch):
                    os.unlink(scratch)
            finally:
                os.close(fd)


def _is_same_file(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def _sync_folder(folder: str) -> None:
    fd = os.open(folder or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Some network file systems cannot sync a folder; the file itself is synced.
        with suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)


def _explained(error: OSError, path: str) -> OSError:
    folder = os.path.dirname(path) or "."
    what = {
        errno.ENOENT: f"the folder {folder} does not exist; make it first",
        errno.EACCES: f"the folder {folder} is not writable",
        errno.EROFS: f"the folder {folder} is read-only",
        errno.ENOSPC: "the disk is full; what was saved there before is unchanged",
        errno.EDQUOT: "the disk quota is used up; what was saved before is unchanged",
    }.get(error.errno or 0)
    return error if what is None else OSError(error.errno, what, path)
