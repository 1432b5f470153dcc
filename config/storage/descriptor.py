"""Descriptor: a file descriptor with one owner, closed once."""

import os
from collections.abc import Generator
from functools import partial


class Descriptor:
    """Opens a file and closes it at `close`, or when nobody holds it any more.

    The descriptor belongs to this object from the call that opens it, and an interrupt
    at any moment loses none.
    """

    def __init__(
        self, path: str, flags: int, mode: int = 0o666, *, dir_fd: int | None = None
    ) -> None:
        flags |= os.O_CLOEXEC | os.O_NOCTTY
        self._open: list[int] = []
        self._closing = _close_at_the_end(self._open)
        next(self._closing)
        # Handlers of signals run between two calls of Python, so this is one of C's.
        opening = partial(os.open, mode=mode, dir_fd=dir_fd)
        self._open.extend(map(opening, (path,), (flags,)))

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed yet."""
        return bool(self._open)

    @property
    def fd(self) -> int:
        """The number that system calls take, while it is open."""
        return self._open[0]

    def close(self) -> None:
        """Close the file, unless that has been done."""
        self._closing.close()


def _close_at_the_end(descriptors: list[int]) -> Generator[None]:
    """Close what is in the list when this generator is no longer held by anybody.

    An interrupt that waits when an object goes away is raised at the first line of its
    ``__del__``, and dropped there; a generator runs its ``finally`` before.
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
        # Popped and closed in one call of C, for the same reason.
        next(map(os.close, iter(descriptors.pop, None)))


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
