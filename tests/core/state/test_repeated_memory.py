"""Targets whose values stand in one place of memory, of every dtype."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.records.tensors.bits import same_bits
from burnish.records.tensors.dtypes import BY_NAME


def holding(values: Tensor) -> Any:
    net = nn.Module()
    net.register_buffer("values", values)
    return net


def values_of(dtype: torch.dtype, start: int) -> Tensor:
    if dtype is torch.bool:
        return torch.tensor([[True, False, start > 0]])
    raw = torch.arange(start, start + 3 * dtype.itemsize, dtype=torch.uint8)
    return raw.view(dtype).reshape(1, 3)


@pytest.mark.filterwarnings("ignore:ComplexHalf support")
@pytest.mark.parametrize("name", BY_NAME)
def test_repeated_memory_of_every_dtype_takes_values_that_repeat_and_others(
    name: str,
) -> None:
    dtype = BY_NAME[name]
    first, second = values_of(dtype, 1), values_of(dtype, 0)
    for stored in (first.expand(2, 3), torch.cat([first, second])):
        target = holding(second.expand(2, 3))

        burnish.load_record(target, burnish.save_record(holding(stored)))

        assert same_bits(target.values, stored)


def test_zeros_of_both_signs_are_no_repeated_value() -> None:
    stored = torch.tensor([0.0, -0.0])
    target = holding(torch.ones(1).expand(2))

    burnish.load_record(target, burnish.save_record(holding(stored)))

    assert target.values.signbit().tolist() == [False, True]
