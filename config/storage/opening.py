"""Files opened for reading: regular ones, and never with a wait for anybody."""

import errno
import os
import stat

from .descriptor import Descriptor

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class IrregularFileError(OSError):
    """Something else than a file with content stands where one should be read."""


def open_regular(
    path: str | os.PathLike[str], *, dir_fd: int | None = None
) -> Descriptor:
    """Return the regular file ``path``, open for reading.

    With ``dir_fd`` it is one in that folder, whatever the folder is called by now.

    A named pipe would wait for its writer, and a device may never end:
    `IrregularFileError` for both, IsADirectoryError for a folder.
    """
    file = os.fsdecode(path)
    # Even a short opening of a pipe or a device has effects on its other side.
    _check(os.stat(file, dir_fd=dir_fd).st_mode, file)
    opened = Descriptor(file, os.O_RDONLY | os.O_NONBLOCK, dir_fd=dir_fd)
    # Another file may have taken the name since.
    _check(os.fstat(opened.fd).st_mode, file)
    os.set_blocking(opened.fd, True)
    return opened


def read_file(
    path: str | os.PathLike[str], most: int, *, dir_fd: int | None = None
) -> bytes:
    """Return the content of the regular file ``path``, or its first ``most`` + 1 bytes.

    Raises as `open_regular` does.
    """
    opened = open_regular(path, dir_fd=dir_fd)
    # A file may grow while it is read, and some have content but no size.
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


def _check(mode: int, file: str) -> None:
    if stat.S_ISREG(mode):
        return
    kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, f"found {kind}, expected a file", file)
    raise IrregularFileError(
        errno.EINVAL,
        f"found {kind}, expected a regular file; copy what it gives into a file first",
        file,
    )
