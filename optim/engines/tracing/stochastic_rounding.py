"""Stochastic rounding: up or down at random, so that the value is kept on average.

The random bits are a hash of a key, the number of the step and the index of the element
in the whole parameter. No generator is used, so that a resumed run, another engine and
a process that has a share of the parameter compute the same bits of the element. The
hash applies the mixing steps of Murmur3 (Appleby, 2011) to a counter, with multipliers
of Wellons ("Prospecting for Hash Functions", 2018), and adds half of the key on the
way; its highest bits are used, which are mixed best.
"""

import hashlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROUNDED_DTYPES = (torch.bfloat16, torch.float16)

MULTIPLIERS = (0x21F0AAAD, 0x735A2D97, 0xAC4C1B51)
HIGH_WORD = 0x9E3779B1
"""Multiplier of the upper half of an index."""

_RUN = 1 << 28
"""Number of elements of one parameter whose bits are computed together."""

_PORTION = 1 << 22
"""The same number for several parameters."""


def key_of(seed: int, path: str) -> int:
    """Return a key that identifies the bits of a parameter, of 52 bits.

    JSON readers hold no more bits exactly.
    """
    digest = hashlib.blake2b(f"{seed} {path}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 12


def streams_of(keys: Any, step: int) -> Any:
    """Return 64 bits for each key at one step, as a numpy array (splitmix64).

    ``keys`` are integers, or an array of them.
    """
    x = np.asarray(keys, dtype=np.uint64) + np.uint64((step + 1) * GOLDEN % 2**64)
    for shift, factor in SPLIT_MIX:
        x ^= x >> shift
        x *= factor
    return x ^ (x >> _LAST_SHIFT)


GOLDEN = 0x9E3779B97F4A7C15
SPLIT_MIX = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
_LAST_SHIFT = np.uint64(31)


def rounded(value: Tensor, dtype: torch.dtype, keys: Any, step: int) -> Tensor:
    """Return ``value``, of float32, as ``dtype``; ``keys`` is one, or one for each row.

    The parts of a distributed tensor are rounded in their processes, as the whole would
    be.
    """
    if isinstance(keys, list):
        rows = zip(value.unbind(), keys, strict=True)
        return torch.stack([rounded(row, dtype, key, step) for row, key in rows])
    stream = int(streams_of([keys], step)[0])
    if hasattr(value, "to_local"):
        return _rounded_share(value, dtype, stream)
    bits = bits_of_run(stream, 0, value.numel(), value.device)
    return rounded_with(value, dtype, bits.view(value.shape))


def _rounded_share(value: Any, dtype: torch.dtype, stream: int) -> Tensor:
    from torch.distributed.tensor import DTensor

    local = value.to_local()
    bits = bits_at(stream, _indices(value).to(local.device))
    result = DTensor.from_local(
        rounded_with(local, dtype, bits),
        value.device_mesh,
        value.placements,
        run_check=False,
        shape=value.shape,
        stride=value.stride(),
    )
    return result


def _indices(value: Any) -> Tensor:
    """Return the index in the whole of each element of this process."""
    from torch.distributed.tensor import Replicate, Shard

    if any(type(p) not in (Replicate, Shard) for p in value.placements):
        # Other placements may shard in any way: the index of the whole is sharded like
        # the tensor.
        indices = torch.arange(value.numel()).view(value.shape)
        return _share(indices, value.device_mesh, value.placements)
    index, width = torch.zeros((), dtype=torch.int64), value.numel()
    for dim, size in enumerate(value.shape):
        width //= max(size, 1)
        spread = [
            Shard(0) if p.is_shard(dim) else Replicate() for p in value.placements
        ]
        places = _share(torch.arange(size), value.device_mesh, spread)
        index = index.to(places.device)[..., None] + places * width
    return index


def _share(tensor: Tensor, mesh: Any, placements: Sequence[Any]) -> Tensor:
    from ....records.tensors.shares import share_of

    like = SimpleNamespace(device_mesh=mesh, placements=placements)
    share: Tensor = share_of(tensor, like).to_local()
    return share


def bits_of_run(
    stream: int, start: int, count: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Return 32 random bits, as int32, of elements from ``start`` on."""
    runs: list[Tensor] = []
    for begin in range(start - start % _RUN, start + count, _RUN):
        low, high = max(begin, start), min(begin + _RUN, start + count)
        index = torch.arange(high - low, dtype=torch.int32, device=device)
        room = torch.empty_like(index)
        fill_bits(room, torch.empty_like(room), index, stream, low)
        runs.append(room)
    return runs[0] if len(runs) == 1 else torch.cat([*runs, _no_bits(device)])


def _no_bits(device: torch.device | str) -> Tensor:
    return torch.empty(0, dtype=torch.int32, device=device)


def fill_bits(
    bits: Tensor, spare: Tensor, index: Tensor, stream: int, start: int
) -> None:
    """Fill ``bits`` with those of the elements ``start + index``.

    ``index`` counts from 0, and the elements share the upper half of their index. All
    are int32; ``spare`` is scratch memory.
    """
    low, high = _halves(stream)
    torch.add(index, _signed(low + start), out=bits)
    _mix(bits, spare, _signed(high + (start >> 32) * HIGH_WORD))


def bits_of_each(
    sizes: Sequence[int], streams: Any, device: torch.device
) -> list[Tensor]:
    """Return the bits of whole parameters, computed together for small ones."""
    bits: list[Tensor] = []
    for start, end in _portions(sizes):
        if end - start == 1:
            bits.append(bits_of_run(int(streams[start]), 0, sizes[start], device))
        else:
            part = bits_of_several(sizes[start:end], streams[start:end], device)
            bits += torch.split(part, [*sizes[start:end]])
    return bits


def _portions(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return start and end of portions of parameters, each a single one or small."""
    portions: list[tuple[int, int]] = []
    start, total = 0, 0
    for i, size in enumerate(sizes):
        if i > start and total + size > _PORTION:
            portions.append((start, i))
            start, total = i, 0
        total += size
    return [*portions, (start, len(sizes))]


def bits_of_several(
    sizes: Sequence[int], streams: Any, device: torch.device | str = "cpu"
) -> Tensor:
    """Return the bits of whole parameters, concatenated."""
    counts = torch.tensor(sizes, device=device)
    ends = counts.cumsum(0)
    words = np.array(streams, dtype=np.uint64)
    low, high = (
        torch.from_numpy(half.astype(np.uint32).view(np.int32)).to(device)
        for half in (words & np.uint64(0xFFFFFFFF), words >> np.uint64(32))
    )
    # Every parameter starts at 0, so the running count before it is subtracted.
    offsets = (low.long() - (ends - counts)).to(torch.int32)
    bits = torch.arange(sum(sizes), dtype=torch.int32, device=device)
    bits += offsets.repeat_interleave(counts)
    _mix(bits, torch.empty_like(bits), high.repeat_interleave(counts))
    return bits


def bits_at(stream: int, index: Tensor) -> Tensor:
    """Return the bits of the elements at ``index``, which is int64."""
    low, high = _halves(stream)
    bits = (index + low).to(torch.int32)
    middle = ((index >> 32) * HIGH_WORD + high).to(torch.int32)
    _mix(bits, torch.empty_like(bits), middle)
    return bits


def _halves(stream: int) -> tuple[int, int]:
    return stream & 0xFFFFFFFF, stream >> 32


def _signed(number: int) -> int:
    """Return the lower 32 bits of a number, as a value of int32."""
    return (number + 2**31) % 2**32 - 2**31


def _mix(bits: Tensor, spare: Tensor, middle: Tensor | int) -> None:
    """Turn counters into bits, in place; products and sums wrap, as in C."""
    factor, second_factor, third_factor = map(_signed, MULTIPLIERS)
    _shift_in(bits, spare, 16)
    bits.mul_(factor)
    _shift_in(bits, spare, 15)
    bits.add_(middle)
    _shift_in(bits, spare, 16)
    bits.mul_(second_factor)
    _shift_in(bits, spare, 15)
    bits.mul_(third_factor)


def _shift_in(bits: Tensor, spare: Tensor, by: int) -> None:
    # int32 is shifted with its sign, which the mask removes again.
    torch.bitwise_right_shift(bits, by, out=spare)
    bits.bitwise_xor_(spare.bitwise_and_((1 << (32 - by)) - 1))


def rounded_with(value: Tensor, dtype: torch.dtype, bits: Tensor) -> Tensor:
    """Return float32 values as ``dtype``, rounded up or down by ``bits``."""
    out = torch.empty_like(value, dtype=dtype)
    round_into(value, bits.clone(), out)
    return out


def round_into(value: Tensor, bits: Tensor, out: Tensor) -> None:
    """Write float32 values to ``out``, rounded; ``bits`` are overwritten."""
    if out.dtype is torch.bfloat16:
        _truncate(value, bits, 16)
        out.copy_(bits.view(torch.float32))
    else:
        size = value.abs()
        share = bits.bitwise_right_shift(8).bitwise_and_(0xFFFFFF).float() * _SMALLEST
        # Below the smallest normal number all are multiples of the smallest: the
        # meaning of the lower bits of float32 depends on the number.
        small = torch.floor(size / _SMALLEST + share) * _SMALLEST
        _truncate(value, bits, 13)
        normal = bits.view(torch.float32)
        out.copy_(torch.where(size < 2**-14, small.copysign(value), normal))
    # After an addition, the bits of a NaN may be those of a number.
    out.masked_fill_(value != value, float("nan"))


_SMALLEST = 2.0**-24
"""The smallest float16, and the unit of a random fraction of 24 bits."""


def _truncate(value: Tensor, bits: Tensor, n: int) -> None:
    """Turn ``bits`` into those of ``value`` plus random ones, with ``n`` cut off."""
    bits.bitwise_right_shift_(32 - n).bitwise_and_((1 << n) - 1)
    bits.add_(value.view(torch.int32)).bitwise_and_(-(1 << n))
