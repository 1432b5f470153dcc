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


def open_regular(path: str | os.PathLike[str]) -> int:
    """Return a descriptor of the regular file ``path``, open for reading.

    A named pipe would wait for its writer, and a device may never end:
    `IrregularFileError` for both, IsADirectoryError for a folder.
    """
    file = os.fsdecode(path)
    # Even a short opening of a pipe or a device has effects on its other side.
    _check(os.stat(file).st_mode, file)
    opened = Descriptor(file, os.O_RDONLY | os.O_NONBLOCK)
    # Another file may have taken the name since.
    _check(os.fstat(opened.fd).st_mode, file)
    os.set_blocking(opened.fd, True)
    return opened.detach()


def read_file(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the content of the regular file ``path``, or its first ``most`` + 1 bytes.

    Raises as `open_regular` does.
    """
    with open(open_regular(path), "rb", buffering=0) as stream:
        # A file may grow while it is read, and some have content but no size.
        size = os.fstat(stream.fileno()).st_size
        pieces = bytearray()
        while len(pieces) <= most:
            piece = stream.read(min(max(size, 1 << 16), most) + 1 - len(pieces))
            if not piece:
                break
            pieces += piece
            size = max(size, len(pieces) + (1 << 16))
    return bytes(pieces)


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
