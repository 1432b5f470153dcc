"""Half precisions are rounded up or down by bits that depend on nothing but where."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from burnish.optim.engines.tracing.stochastic_rounding import (
    HIGH_WORD,
    MULTIPLIERS,
    bits_at,
    bits_of_each,
    bits_of_run,
    bits_of_several,
    key_of,
    rounded,
    rounded_with,
    streams_of,
)

from ....forked_processes import in_two_processes
from .two_shards import OPTIONS, check

HALF = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
CPU = torch.device("cpu")
STREAMS = [int(s) for s in streams_of([key_of(0, path) for path in "abcdef"], 3)]


def bits_by_hand(stream: int, i: int) -> int:
    """Return the bits of element ``i``, as whole numbers give them."""
    mask, (a, b, c) = 0xFFFFFFFF, MULTIPLIERS
    x = (i + stream) & mask
    x = (x ^ (x >> 16)) * a & mask
    x ^= x >> 15
    x = (x + (stream >> 32) + (i >> 32) * HIGH_WORD) & mask
    x = (x ^ (x >> 16)) * b & mask
    return (x ^ (x >> 15)) * c & mask


def unsigned(bits: Tensor) -> list[int]:
    return [int(b) & 0xFFFFFFFF for b in bits]


@pytest.mark.parametrize("start", [0, 5, 2**28 - 40, 2**32 - 40, 2**33 + 7])
def test_bits_are_a_hash_of_the_index(start: int) -> None:
    stream = STREAMS[0]

    run = bits_of_run(stream, start, 100)

    assert unsigned(run) == [bits_by_hand(stream, start + i) for i in range(100)]
    assert torch.equal(run, bits_at(stream, torch.arange(100) + start))


def test_parameters_side_by_side_have_the_bits_that_each_has_alone() -> None:
    sizes = [51, 5, 1, 0, 72, 7]
    alone = [bits_of_run(s, 0, n) for s, n in zip(STREAMS, sizes, strict=True)]

    assert torch.equal(bits_of_several(sizes, STREAMS), torch.cat(alone))
    each = bits_of_each(sizes, np.array(STREAMS, dtype=np.uint64), CPU)
    assert all(map(torch.equal, each, alone))


def test_large_parameters_have_their_bits_by_themselves() -> None:
    sizes = [3, 2**22 + 1, 5, 7]
    each = bits_of_each(sizes, STREAMS, CPU)

    assert [len(bits) for bits in each] == sizes
    for bits, stream, size in zip(each, STREAMS, sizes, strict=False):
        assert torch.equal(bits, bits_of_run(stream, 0, size))


def test_bits_are_even_and_those_of_other_steps_and_parameters_unlike() -> None:
    n = 1 << 18
    streams = [
        int(streams_of([key_of(0, path)], t)[0]) for path in "ab" for t in (0, 1)
    ]
    draws = torch.stack([bits_of_run(s, 0, n) for s in streams]).double() / 2**31
    high = torch.stack([bits_of_run(s, 0, n) >> 16 for s in streams])

    # A mean of n even draws is off by 1/sqrt(3n); five times that is one in a million.
    assert bool((draws.mean(1).abs() < 5 / math.sqrt(3 * n)).all())
    assert bool((draws.var(1) - 1 / 3).abs().max() < 5e-3)
    correlation = torch.corrcoef(torch.cat([draws, draws.roll(1, 1), draws.roll(7, 1)]))
    assert float((correlation - torch.eye(12)).abs().max()) < 5 / math.sqrt(n)
    for k in range(16):
        ones = (high >> k & 1).double().mean(1)
        assert bool(((ones - 0.5).abs() < 2.5 / math.sqrt(n)).all())


def drawn(n: int, scale: float) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    sizes = torch.rand(n, generator=generator, dtype=torch.float64) * 2 - 1
    powers = torch.rand(n, generator=generator, dtype=torch.float64) * scale
    return (sizes * 2.0**-powers).float()


def neighbors(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the nearest values of a dtype at or below, and at or above."""
    near = values.to(dtype)
    up = torch.nextafter(near.cpu(), torch.tensor(math.inf, dtype=dtype))
    down = torch.nextafter(near.cpu(), torch.tensor(-math.inf, dtype=dtype))
    below = torch.where(near.double() <= values.double(), near, down)
    above = torch.where(near.double() >= values.double(), near, up)
    return below.double(), above.double()


@HALF
@pytest.mark.parametrize("scale", [1.0, 20.0, 30.0, 140.0])
def test_a_value_becomes_one_of_its_neighbors(dtype: torch.dtype, scale: float) -> None:
    values = drawn(20_000, scale)
    below, above = neighbors(values, dtype)

    results = rounded(values, dtype, 7, 0).double()

    assert bool(((results == below) | (results == above)).all())


@HALF
@pytest.mark.parametrize("scale", [1.0, 20.0, 26.0])
def test_the_mean_of_many_roundings_is_the_value(
    dtype: torch.dtype, scale: float
) -> None:
    values, n = drawn(300, scale), 4000
    below, above = neighbors(values, dtype)

    results = [rounded(values, dtype, 7, step).double() for step in range(n)]
    mean = torch.stack(results).mean(0)

    # The error of a share of n draws is at most half a unit over the root of n.
    allowed = 5 * 0.5 * (above - below) / math.sqrt(n)
    assert bool(((mean - values.double()).abs() <= allowed).all())


@HALF
def test_what_is_exact_stays_and_what_is_not_finite_too(dtype: torch.dtype) -> None:
    exact = torch.randn(1000).to(dtype)
    strange = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 2.0**-24, 1e38])
    payloads = torch.tensor([0x7F800001, 0x7FFFFFFF, -1], dtype=torch.int32)

    assert all(
        torch.equal(rounded(exact.float(), dtype, 7, step), exact) for step in range(50)
    )
    for step in range(50):
        results = rounded(strange, dtype, 7, step)
        assert torch.equal(results[:4], strange[:4].to(dtype))
        assert torch.signbit(results[:2]).tolist() == [False, True]
        assert results[4].isnan()
        assert results[5] == 2.0**-24
        assert rounded(payloads.view(torch.float32), dtype, 7, step).isnan().all()


def test_no_generator_is_touched() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())

    rounded(torch.randn(10, generator=torch.Generator()), torch.bfloat16, 7, 0)

    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert str(np.random.get_state()) == before[2]


@HALF
def test_shares_of_a_tensor_are_rounded_as_the_whole_is(dtype: torch.dtype) -> None:
    values, stream = torch.randn(60, 50), STREAMS[2]
    whole = rounded_with(values, dtype, bits_of_run(stream, 0, 3000).view(60, 50))
    index = torch.arange(3000).view(60, 50)

    for rows, columns in [(slice(20, 41), slice(None)), (slice(None), slice(7, 30))]:
        bits = bits_at(stream, index[rows, columns])
        share = rounded_with(values[rows, columns], dtype, bits)
        assert torch.equal(share, whole[rows, columns])
    run = bits_of_run(stream, 20 * 50, 21 * 50).view(21, 50)
    assert torch.equal(rounded_with(values[20:41], dtype, run), whole[20:41])


def test_memory_formats_change_no_bits() -> None:
    values = torch.randn(4, 3, 5, 5)
    laid_out = values.to(memory_format=torch.channels_last)

    plain = rounded(values, torch.bfloat16, 7, 0)

    assert torch.equal(rounded(laid_out, torch.bfloat16, 7, 0), plain)


def test_rows_may_have_keys_of_their_own() -> None:
    rows = torch.randn(3, 4, 5)

    stack = rounded(rows, torch.bfloat16, [5, 6, 7], 2)

    for row, key, result in zip(rows, [5, 6, 7], stack, strict=True):
        assert torch.equal(result, rounded(row, torch.bfloat16, key, 2))


def test_keys_are_exact_in_json() -> None:
    keys = {key_of(seed, path) for seed in range(50) for path in ("a", "b.weight")}

    assert len(keys) == 100
    assert max(keys) < 2**52


# Torch 2.6 warns that distributed tensors may draw no numbers on a CPU.
@pytest.mark.filterwarnings("ignore:DTensor random operators:UserWarning")
@pytest.mark.parametrize("options", OPTIONS)
def test_two_processes_step_their_shares_as_one_steps_the_whole(
    options: dict[str, Any], tmp_path: Path
) -> None:
    in_two_processes(lambda _: check(options), tmp_path)
