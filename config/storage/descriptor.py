"""Descriptor: a file descriptor with one owner, closed once."""

import os


class Descriptor:
    """Opens a file and closes it at `close`, or when nobody holds it any more.

    An interrupt may come between any two lines: the descriptor belongs to this object
    from the call that opens it, so none is lost.
    """

    _open: list[int] | tuple[()] = ()

    def __init__(
        self, path: str, flags: int, mode: int = 0o666, *, dir_fd: int | None = None
    ) -> None:
        flags |= os.O_CLOEXEC | os.O_NOCTTY
        self._open = []
        self._open.append(os.open(path, flags, mode, dir_fd=dir_fd))

    @property
    def fd(self) -> int:
        """The number that system calls take; ValueError after `close`."""
        if not self._open:
            raise ValueError("the file is closed")
        return self._open[0]

    def detach(self) -> int:
        """Return the number, and leave it to the caller to close it."""
        fd = self.fd
        self._open = ()
        return fd

    def close(self) -> None:
        """Close the file, unless that has been done."""
        if self._open:
            os.close(self._open.pop())

    def __del__(self) -> None:
        # Python drops what is raised here: an interrupt must not cost the descriptor.
        try:
            self.close()
        finally:
            self.close()


def open_folder(path: str, *, dir_fd: int | None = None) -> Descriptor:
    """Return a folder, for calls that name files in it; one need not be listable."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        return Descriptor(path or ".", flags, dir_fd=dir_fd)
    except PermissionError:
        # A folder of mode 0300 takes files, and does not tell which it has.
        if not hasattr(os, "O_PATH"):
            raise
        return Descriptor(path or ".", os.O_PATH | os.O_DIRECTORY, dir_fd=dir_fd)
