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

import torch

from .grad_mode import ordinary_tensors

BLOCK = 256 << 10
"""Values in a block: the planes of float32 fill 1 MiB, a core's own cache."""

PLANED = frozenset({torch.float32, torch.bfloat16, torch.float16})
"""What dtypes may be stored in planes."""


class Planes:
    """Splits blocks of one dtype into planes; keeps its scratch memory."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._split, self._join = _CODECS[dtype]
        # Kept for all blocks, so that splitting one allocates nothing; and for those
        # outside of `torch.inference_mode`, which may be on now.
        with ordinary_tensors():
            self._wide = torch.empty(
                BLOCK if dtype.itemsize == 4 else 0, dtype=torch.int32, device="cpu"
            )
            self._half = torch.empty(2, BLOCK, dtype=torch.int16, device="cpu")
            self._byte = torch.empty(BLOCK, dtype=torch.uint8, device="cpu")

    def split(self, values: torch.Tensor, out: torch.Tensor) -> None:
        """Write the planes of at most `BLOCK` ``values`` into the bytes of ``out``."""
        self._split(values, out, self._scratch(values.numel()))

    def join(self, planes: torch.Tensor, out: torch.Tensor) -> None:
        """Write the values of one block of ``planes`` into ``out``."""
        self._join(planes, out, self._scratch(out.numel()))

    def _scratch(self, n: int) -> "_Scratch":
        return self._wide[:n], self._half[0, :n], self._half[1, :n], self._byte[:n]


def planes_of(dtype: torch.dtype) -> Planes:
    """Return this thread's codec of ``dtype``."""
    # One for each thread, as two that split at once would share scratch memory.
    if not hasattr(_local, "codecs"):
        _local.codecs = {}
    codecs: dict[torch.dtype, Planes] = _local.codecs
    if dtype not in codecs:
        codecs[dtype] = Planes(dtype)
    return codecs[dtype]


def blocks(pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Return the values of flat ``pieces`` as blocks; each is valid until the next."""
    staged, n = torch.empty(0, device="cpu"), 0
    for piece in pieces:
        at, end = 0, piece.numel()
        while at < end:
            count = min(BLOCK - n, end - at)
            # A whole block is handed on as it is; pieces of other lengths are gathered.
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


_Scratch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
_Step = Callable[[torch.Tensor, torch.Tensor, _Scratch], None]

_local = threading.local()

_SIGN = 0x80
_REST = 0x7F


# Each step narrows a plane before it masks it: a vector register holds four times as
# many bytes as float32 values.
def _split_float32(values: torch.Tensor, out: torch.Tensor, scratch: _Scratch) -> None:
    wide, high, _, _ = scratch
    bits, n = values.view(torch.int32), values.numel()
    torch.bitwise_right_shift(bits, 16, out=wide)
    high.copy_(wide)
    _split_bfloat16(high, out, scratch)
    out[2 * n :].view(torch.int16).copy_(bits)


def _join_float32(planes: torch.Tensor, out: torch.Tensor, scratch: _Scratch) -> None:
    wide, high, _, _ = scratch
    bits, n = out.view(torch.int32), out.numel()
    # The upper half of a float32 is a bfloat16, which the other codec puts together.
    _join_bfloat16(planes, high, scratch)
    wide.copy_(high).bitwise_left_shift_(16)
    bits.copy_(planes[2 * n :].view(torch.uint16)).bitwise_or_(wide)


def _split_bfloat16(values: torch.Tensor, out: torch.Tensor, scratch: _Scratch) -> None:
    _, _, half, byte = scratch
    bits, n = values.view(torch.int16), values.numel()
    exponents, fractions = out[:n], out[n : 2 * n]
    # Copying into bytes keeps the low 8 bits, so no mask is needed for the exponents.
    exponents.copy_(torch.bitwise_right_shift(bits, 7, out=half))
    byte.copy_(torch.bitwise_right_shift(bits, 8, out=half)).bitwise_and_(_SIGN)
    fractions.copy_(bits).bitwise_and_(_REST).bitwise_or_(byte)


def _join_bfloat16(planes: torch.Tensor, out: torch.Tensor, scratch: _Scratch) -> None:
    _, _, half, _ = scratch
    bits, n = out.view(torch.int16), out.numel()
    bits.copy_(planes[:n]).bitwise_left_shift_(7)
    # Read as signed, the sign fills the bits above; those of the exponent are cleared.
    half.copy_(planes[n : 2 * n].view(torch.int8)).bitwise_and_(~0x7F80)
    bits.bitwise_or_(half)


def _split_float16(values: torch.Tensor, out: torch.Tensor, scratch: _Scratch) -> None:
    _, _, half, _ = scratch
    bits, n = values.view(torch.int16), values.numel()
    out[:n].copy_(torch.bitwise_right_shift(bits, 8, out=half))
    out[n:].copy_(bits)


def _join_float16(planes: torch.Tensor, out: torch.Tensor, scratch: _Scratch) -> None:
    _, _, half, _ = scratch
    bits, n = out.view(torch.int16), out.numel()
    half.copy_(planes[n:])
    bits.copy_(planes[:n]).bitwise_left_shift_(8).bitwise_or_(half)


_CODECS: dict[torch.dtype, tuple[_Step, _Step]] = {
    torch.float32: (_split_float32, _join_float32),
    torch.bfloat16: (_split_bfloat16, _join_bfloat16),
    torch.float16: (_split_float16, _join_float16),
}
