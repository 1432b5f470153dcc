"""A private map of a file: its pages as memory, which nobody else sees changed."""

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

    No descriptor stays open for it, and the pages go with the last view of them.
    ``offset`` is a multiple of `GRANULARITY`. Raises OSError where mapping fails.
    """
    # Python's own mmap holds a descriptor, so that a thousand tensors are a thousand.
    array: Any = np.asarray(_Pages(fd, offset, count))
    return memoryview(array)


GRANULARITY = mmap.ALLOCATIONGRANULARITY
# The C library that the process has already, whatever its name is.
_libc = ctypes.CDLL(None, use_errno=True)


class _Pages:
    """Mapped memory that numpy takes for an array's, and holds as long as that."""

    def __init__(self, fd: int, offset: int, count: int) -> None:
        # Writable and private: who trains a loaded tensor in place changes its own copy
        # of a page, and neither the file nor what another load has of it.
        writable = mmap.PROT_READ | mmap.PROT_WRITE
        address = _mmap(None, count, writable, mmap.MAP_PRIVATE, fd, offset)
        if address == _FAILED:
            # Read at once: any further call of C may set it anew.
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
    """Give the memory back when ``pages`` goes away."""
    # A weak reference must outlive what it watches, so a dict holds each; those whose
    # pages are gone are taken out here, by the next call.
    while _gone:
        _watching.pop(_gone.pop(), None)
    key = next(_keys)
    # A Ctrl-C that waits meanwhile would be raised at the first line of a `__del__`,
    # and dropped there. This is calls of C alone, one of each iterator's.
    calls = zip(
        map(_munmap, (address,), (count,)), map(_gone.append, (key,)), strict=True
    )
    _watching[key] = weakref.ref(pages, partial(next, calls))


_keys = itertools.count()
_watching: dict[int, "weakref.ref[_Pages]"] = {}
_gone: list[int] = []
"""Keys of what goes away, which cannot take itself out of the dict meanwhile."""

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
