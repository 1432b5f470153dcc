"""A private map of a file: its pages as memory, with changes that are not shared."""

import ctypes
import itertools
import mmap
import os
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np


def private_map(fd: int, offset: int, count: int) -> memoryview:
    """Return ``count`` bytes at ``offset`` as memory; a page is read when it is used.

    No descriptor stays open for it, and the pages are released with the last view of
    them. ``offset`` is a multiple of `GRANULARITY`. Raises OSError if mapping fails.
    """
    # Python's own mmap holds a descriptor, so that a thousand tensors would hold a
    # thousand.
    array: Any = np.asarray(_Pages(fd, offset, count))
    return memoryview(array)


GRANULARITY = mmap.ALLOCATIONGRANULARITY
# The C library that the process has loaded, whatever its name is.
_libc = ctypes.CDLL(None, use_errno=True)


class _Pages:
    """Mapped memory in the form of an array for numpy, which keeps it alive."""

    def __init__(self, fd: int, offset: int, count: int) -> None:
        # Writable and private: training a loaded tensor in place changes its own copy
        # of a page, and neither the file nor what another load has of it.
        writable = mmap.PROT_READ | mmap.PROT_WRITE
        address = _mmap(None, count, writable, mmap.MAP_PRIVATE, fd, offset)
        if address == _FAILED:
            # Read immediately, since any further call of C may set it again.
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        _unmap_with(self, address, count)
        self.__array_interface__ = {
            "version": 3,
            "shape": (count,),
            "typestr": "|u1",
            "data": (address, False),
        }


def _unmap_with(pages: _Pages, address: int | None, count: int) -> None:
    """Unmap the memory when ``pages`` is garbage."""
    # A weak reference must outlive its object, so a dict holds each; those whose pages
    # are gone are removed here, by the next call.
    while _gone:
        _watching.pop(_gone.pop(), None)
    key = next(_keys)
    # A pending Ctrl-C would be raised at the first line of a `__del__`, and dropped
    # there. This consists of calls of C alone, one for each iterator.
    calls = zip(
        map(_munmap, (address,), (count,)), map(_gone.append, (key,)), strict=True
    )
    _watching[key] = weakref.ref(pages, partial(next, calls))


_keys = itertools.count()
_watching: dict[int, "weakref.ref[_Pages]"] = {}
_gone: list[int] = []
"""Keys of garbage, which cannot remove itself from the dict meanwhile."""

_FAILED = ctypes.c_void_p(-1).value

_munmap: Callable[..., int] = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t
)(("munmap", _libc))

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
