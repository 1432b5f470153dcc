"""Planes: every bit comes back, in the order that the page on formats gives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from burnish.records.tensors.byte_planes import BLOCK, PLANED, Planes, blocks, planes_of

Same = Callable[[torch.Tensor, torch.Tensor], bool]


def split(values: torch.Tensor) -> torch.Tensor:
    out = torch.empty(values.numel() * values.itemsize, dtype=torch.uint8)
    Planes(values.dtype).split(values, out)
    return out


@pytest.mark.parametrize("dtype", sorted(PLANED, key=str))
@pytest.mark.parametrize("count", [1, 2, 3, 255, BLOCK - 1, BLOCK])
def test_every_value_comes_back_bit_for_bit(
    dtype: torch.dtype, count: int, same: Same
) -> None:
    raw = torch.randint(0, 256, (count * dtype.itemsize,), dtype=torch.uint8)
    values, back = raw.view(dtype), torch.empty(count, dtype=dtype)

    planes_of(dtype).join(split(values), back)

    assert same(values, back)


@pytest.mark.parametrize("dtype", sorted(PLANED, key=str))
def test_a_handler_of_signals_that_saves_or_loads_changes_no_value_of_the_rest(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, same: Same
) -> None:
    raw = torch.randint(0, 256, (64 * dtype.itemsize,), dtype=torch.uint8)
    values, back = raw.view(dtype), torch.empty(64, dtype=dtype)
    planes, other = torch.empty_like(raw), torch.ones(64, dtype=dtype)
    other_planes = torch.empty_like(raw)

    def with_handler(name: str) -> Any:
        """Return the function of numpy, with another save and load after it."""
        function, is_handling = getattr(np, name), list[bool]()

        def call(*args: Any, **options: Any) -> Any:
            result = function(*args, **options)
            if not is_handling:
                is_handling.append(True)
                planes_of(dtype).split(other, other_planes)
                planes_of(dtype).join(other_planes, other)
                is_handling.clear()
            return result

        return call

    with monkeypatch.context() as patch:
        for name in ("right_shift", "left_shift", "bitwise_and", "copyto"):
            patch.setattr(np, name, with_handler(name))
        planes_of(dtype).split(values, planes)
        planes_of(dtype).join(planes, back)

    assert same(values, back)
    assert torch.equal(planes, split(values))


def test_float32_is_exponents_then_sign_and_top_of_the_fraction_then_the_rest() -> None:
    values = torch.tensor([-1.5, 3.0])

    planes = split(values).tolist()

    assert planes[:2] == [127, 128]
    assert planes[2:4] == [0x80 | 0x40, 0x40]
    assert planes[4:] == [0, 0, 0, 0]


def test_bfloat16_is_exponents_then_sign_and_fraction() -> None:
    assert split(torch.tensor([-1.5], dtype=torch.bfloat16)).tolist() == [127, 0xC0]


def test_float16_is_high_bytes_then_low_bytes() -> None:
    assert split(torch.tensor([-1.5], dtype=torch.float16)).tolist() == [0xBE, 0x00]


@pytest.mark.parametrize("lengths", [[1, 2, 3], [BLOCK], [BLOCK + 1, 5], [7] * 9, []])
def test_blocks_are_full_but_for_the_last_however_the_pieces_come(
    lengths: list[int],
) -> None:
    whole = torch.arange(sum(lengths))

    found = [block.clone() for block in blocks(torch.split_with_sizes(whole, lengths))]

    assert all(len(block) == BLOCK for block in found[:-1])
    assert torch.equal(torch.cat([*found, whole[:0]]), whole)


def test_blocks_do_not_depend_on_how_long_each_piece_is() -> None:
    whole = torch.arange(2 * BLOCK + 10)

    found = [
        block.clone()
        for block in blocks(
            [whole[i : i + 100_000] for i in range(0, len(whole), 100_000)]
        )
    ]

    assert [len(block) for block in found] == [BLOCK, BLOCK, 10]
    assert torch.equal(torch.cat(found), whole)
