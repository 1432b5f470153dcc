"""Planes: floats stored by parts, so that their exponents can be compressed.

The bytes of a tensor in planes are blocks of `BLOCK` values, the last one shorter.
Within a block of n values, one part of every value follows the other, lowest value
first, all little-endian:

    float32    n bytes of exponents (bits 30..23), n bytes of sign (as bit 7) and the
               top 7 bits of the fraction (bits 22..16), 2n bytes of bits 15..0
    bfloat16   n bytes of exponents (bits 14..7), n bytes of sign (as bit 7) and
               fraction (bits 6..0)
    float16    n bytes of bits 15..8, n bytes of bits 7..0

A tensor in planes takes as many bytes as one in order. Exponents of weights take
about 2.6 bits each when compressed; nothing else of them can be.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

BLOCK = 256 << 10
"""Values in a block: the planes of float32 fill 1 MiB, a core's own cache."""

PLANED = frozenset({torch.float32, torch.bfloat16, torch.float16})
"""Dtypes that can be stored in planes."""


class Planes:
    """Splits blocks of one dtype into planes; keeps scratch memory between blocks.

    It uses numpy, whose calls cost a quarter of torch's: most tensors are small.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._bits = np.uint32 if dtype.itemsize == 4 else np.uint16
        self._split, self._join = _CODECS[dtype]
        # Kept for all blocks, so that splitting one allocates nothing.
        self._spare: list[_Scratch] = []

    def split(self, values: torch.Tensor, out: torch.Tensor) -> None:
        """Write the planes of at most `BLOCK` ``values`` into the bytes of ``out``."""
        self._run(self._split, self._bits_of(values), out.numpy(), values.numel())

    def join(self, planes: torch.Tensor, out: torch.Tensor) -> None:
        """Write the values of one block of ``planes`` into ``out``."""
        self._run(self._join, planes.numpy(), self._bits_of(out), out.numel())

    def _bits_of(self, values: torch.Tensor) -> "_Array":
        # numpy has no bfloat16.
        integers = torch.int32 if values.itemsize == 4 else torch.int16
        return values.view(integers).numpy().view(self._bits)

    def _run(self, step: "_Step", source: "_Array", target: "_Array", n: int) -> None:
        """Make a step with scratch memory that is not shared meanwhile.

        A signal handler, a ``__del__`` or a callback may save or load between any two
        lines of a step, in the same thread: it gets memory of its own.
        """
        try:
            scratch = self._spare.pop()
        except IndexError:
            scratch = self._new_scratch()
        wide, high, low, narrow = scratch
        step(source, target, (wide[:n], high[:n], low[:n], narrow[:n]))
        self._spare[:] = [scratch]

    def _new_scratch(self) -> "_Scratch":
        wide = np.empty(BLOCK if self.dtype.itemsize == 4 else 0, np.uint32)
        half = np.empty((2, BLOCK), np.uint16)
        return wide, half[0], half[1], np.empty(BLOCK, np.uint8)


def planes_of(dtype: torch.dtype) -> Planes:
    """Return this thread's codec of ``dtype``."""
    # One for each thread, as two that split at the same time would share scratch
    # memory.
    if not hasattr(_local, "codecs"):
        _local.codecs = {}
    codecs: dict[torch.dtype, Planes] = _local.codecs
    if dtype not in codecs:
        codecs[dtype] = Planes(dtype)
    return codecs[dtype]


def blocks(pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield the values of flat ``pieces`` as blocks; each is valid until the next."""
    staged, n = torch.empty(0, device="cpu"), 0
    for piece in pieces:
        at, end = 0, piece.numel()
        while at < end:
            count = min(BLOCK - n, end - at)
            # A whole block is passed on directly; pieces of other lengths are gathered.
            if count == BLOCK:
                yield piece[at : at + BLOCK]
            else:
                staged = (
                    staged if n else torch.empty(BLOCK, dtype=piece.dtype, device="cpu")
                )
                staged[n : n + count] = piece[at : at + count]
                n += count
            if n == BLOCK:
                yield staged
                n = 0
            at += count
    if n:
        yield staged[:n]


_Array = np.ndarray[Any, Any]
_Scratch = tuple[_Array, _Array, _Array, _Array]
_Step = Callable[[_Array, _Array, _Scratch], None]

_local = threading.local()

_SIGN = 0x80
_REST = 0x7F
_NO_EXPONENT = np.uint16(0xFFFF & ~0x7F80)

_narrow = partial(np.copyto, casting="unsafe")
"""Copies the low bits of integers into narrower ones."""


# Each step narrows a plane before it masks it: a vector register holds four times as
# many bytes as float32 values.
def _split_float32(bits: _Array, out: _Array, scratch: _Scratch) -> None:
    wide, high, _, _ = scratch
    np.right_shift(bits, 16, out=wide)
    _narrow(high, wide)
    _split_bfloat16(high, out, scratch)
    _narrow(out[2 * len(bits) :].view(np.uint16), bits)


def _join_float32(planes: _Array, bits: _Array, scratch: _Scratch) -> None:
    wide, high, _, _ = scratch
    # The upper half of a float32 is a bfloat16, which the other codec assembles.
    _join_bfloat16(planes, high, scratch)
    np.copyto(wide, high)
    np.left_shift(wide, 16, out=wide)
    np.copyto(bits, planes[2 * len(bits) :].view(np.uint16))
    np.bitwise_or(bits, wide, out=bits)


def _split_bfloat16(bits: _Array, out: _Array, scratch: _Scratch) -> None:
    _, _, half, signs = scratch
    n = len(bits)
    exponents, fractions = out[:n], out[n : 2 * n]
    # Narrowing keeps the low 8 bits, so no mask is needed for the exponents.
    _narrow(exponents, np.right_shift(bits, 7, out=half))
    _narrow(signs, np.right_shift(bits, 8, out=half))
    np.bitwise_and(signs, _SIGN, out=signs)
    _narrow(fractions, bits)
    np.bitwise_and(fractions, _REST, out=fractions)
    np.bitwise_or(fractions, signs, out=fractions)


def _join_bfloat16(planes: _Array, bits: _Array, scratch: _Scratch) -> None:
    _, _, half, _ = scratch
    n = len(bits)
    np.copyto(bits, planes[:n])
    np.left_shift(bits, 7, out=bits)
    # Read as signed, the sign fills the bits above; those of the exponent are cleared.
    np.copyto(half.view(np.int16), planes[n : 2 * n].view(np.int8))
    np.bitwise_and(half, _NO_EXPONENT, out=half)
    np.bitwise_or(bits, half, out=bits)


def _split_float16(bits: _Array, out: _Array, scratch: _Scratch) -> None:
    _, _, half, _ = scratch
    n = len(bits)
    _narrow(out[:n], np.right_shift(bits, 8, out=half))
    _narrow(out[n : 2 * n], bits)


def _join_float16(planes: _Array, bits: _Array, scratch: _Scratch) -> None:
    _, _, half, _ = scratch
    n = len(bits)
    np.copyto(half, planes[n : 2 * n])
    np.copyto(bits, planes[:n])
    np.left_shift(bits, 8, out=bits)
    np.bitwise_or(bits, half, out=bits)


_CODECS: dict[torch.dtype, tuple[_Step, _Step]] = {
    torch.float32: (_split_float32, _join_float32),
    torch.bfloat16: (_split_bfloat16, _join_bfloat16),
    torch.float16: (_split_float16, _join_float16),
}
