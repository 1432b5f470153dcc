"""A private map of a file: its pages as memory, which nobody else sees changed."""

import ctypes
import mmap
import os
from collections.abc import Callable
from typing import Any

import numpy as np


def private_map(fd: int, offset: int, count: int) -> memoryview:
    """Return ``count`` bytes at ``offset`` as memory; a page is read when it is used.

    No descriptor stays open for it, and the pages go with the last view of them.
    ``offset`` is a multiple of `GRANULARITY`. Raises OSError where mapping fails.
    """
    # Python's own mmap holds a descriptor, so that a thousand tensors are a thousand.
    array: Any = np.asarray(_Pages(fd, offset, count))
    return memoryview(array)


GRANULARITY = mmap.ALLOCATIONGRANULARITY
_libc = ctypes.CDLL(None, use_errno=True)


class _Pages:
    """Mapped memory that numpy takes for an array's, and holds as long as that."""

    _munmap: Callable[..., int] = staticmethod(
        ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)(
            ("munmap", _libc)
        )
    )

    def __init__(self, fd: int, offset: int, count: int) -> None:
        writable = mmap.PROT_READ | mmap.PROT_WRITE
        address = _mmap(None, count, writable, mmap.MAP_PRIVATE, fd, offset)
        if address == _FAILED:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        self._address, self._count = address, count
        self.__array_interface__ = {
            "version": 3,
            "shape": (count,),
            "typestr": "|u1",
            "data": (address, False),
        }

    def __del__(self) -> None:
        # Its attributes are missing when mapping failed; at exit, globals may be gone.
        if hasattr(self, "_address"):
            self._munmap(self._address, self._count)


_FAILED = ctypes.c_void_p(-1).value

_mmap: Callable[..., int | None] = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
    use_errno=True,
)(("mmap", _libc))
