"""Opening of files and folders, without blocking, and closed exactly once.

Another program may replace them at any moment, so that reading several of them is
repeated if they change (`looks`).
"""

import errno
import os
import stat
from collections.abc import Generator, Iterator
from functools import partial

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class IrregularFileError(OSError):
    """There is something other than a regular file where one should be read."""


class Descriptor:
    """Opens a file, and closes it at `close` or when the object is garbage.

    The object owns the descriptor from the system call that opens it, so that an
    interrupt at any moment leaks none.
    """

    def __init__(
        self, path: str, flags: int, mode: int = 0o666, *, dir_fd: int | None = None
    ) -> None:
        flags |= os.O_CLOEXEC | os.O_NOCTTY
        self._open: list[int] = []
        self._closing = _close_at_the_end(self._open)
        next(self._closing)
        # Signal handlers run between two calls of Python, so this is one call of C.
        opening = partial(os.open, mode=mode, dir_fd=dir_fd)
        self._open.extend(map(opening, (path,), (flags,)))

    @property
    def is_open(self) -> bool:
        """Whether it is still open."""
        return bool(self._open)

    @property
    def fd(self) -> int:
        """The descriptor for system calls, while it is open."""
        return self._open[0]

    def close(self) -> None:
        """Close the file, unless it is closed already."""
        self._closing.close()


def open_regular(
    path: str | os.PathLike[str], *, dir_fd: int | None = None
) -> Descriptor:
    """Return the regular file ``path``, open for reading.

    With ``dir_fd`` it is a file in that folder, even if the folder was renamed. Opening
    a named pipe would wait for its writer, and a device may never end:
    `IrregularFileError` for both, IsADirectoryError for a folder.
    """
    file = os.fsdecode(path)
    # Even opening a pipe or a device briefly affects the process at its other end.
    _check(os.stat(file, dir_fd=dir_fd).st_mode, file)
    opened = Descriptor(file, os.O_RDONLY | os.O_NONBLOCK, dir_fd=dir_fd)
    # Another file may have replaced it since.
    _check(os.fstat(opened.fd).st_mode, file)
    os.set_blocking(opened.fd, True)
    return opened


def read_file(
    path: str | os.PathLike[str], most: int, *, dir_fd: int | None = None
) -> bytes:
    """Return the content of the regular file ``path``, or its first ``most`` + 1 bytes.

    Raises the errors of `open_regular`.
    """
    opened = open_regular(path, dir_fd=dir_fd)
    # A file may grow while it is read, and some have content but a size of 0.
    size = max(os.fstat(opened.fd).st_size, 1 << 16)
    content = bytearray()
    while len(content) <= most:
        piece = os.read(opened.fd, min(size, most) + 1 - len(content))
        if not piece:
            break
        content += piece
        size = max(size, len(content) + (1 << 16))
    opened.close()
    return bytes(content)


def open_folder(path: str, *, dir_fd: int | None = None) -> Descriptor:
    """Return a folder, for calls that name files in it; it may be unlistable."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        return Descriptor(path or ".", flags, dir_fd=dir_fd)
    except PermissionError:
        # A folder of mode 0300 accepts files, but cannot be listed.
        if not hasattr(os, "O_PATH"):
            raise
        return Descriptor(path or ".", os.O_PATH | os.O_DIRECTORY, dir_fd=dir_fd)


_N_LOOKS = 16
"""No folder is replaced this often while it is read: then an error is real."""


def looks() -> Iterator[bool]:
    """Yield for each attempt whether it is the last, whose error is to be raised."""
    yield from (i == _N_LOOKS - 1 for i in range(_N_LOOKS))


def _check(mode: int, file: str) -> None:
    if stat.S_ISREG(mode):
        return
    kind = _KINDS.get(stat.S_IFMT(mode), "a special file")
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, f"found {kind}, expected a file", file)
    raise IrregularFileError(
        errno.EINVAL,
        f"found {kind}, expected a regular file; copy its content into a file first",
        file,
    )


def _close_at_the_end(descriptors: list[int]) -> Generator[None]:
    """Close the descriptors in the list when this generator is garbage.

    A pending interrupt is raised at the first line of a ``__del__``, and dropped there;
    a generator runs its ``finally`` before that.
    """
    try:
        try:
            yield
        finally:
            _close(descriptors)
    finally:
        _close(descriptors)


def _close(descriptors: list[int]) -> None:
    if descriptors:
        # Popped and closed in a single call of C, for the same reason.
        next(map(os.close, iter(descriptors.pop, None)))
