"""Values between their check and their copy, held in less than tensors take."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core.state.loading.commit import (
    MOST_STAGED,
    HeldValues,
    MappedValues,
    StagedValues,
    tensor_of_values,
)
from burnish.records.io.source import Maps


@pytest.mark.parametrize(
    "values",
    [
        torch.tensor(1.5),
        torch.arange(6, dtype=torch.int8).view(2, 3),
        torch.tensor([True, False]),
        torch.tensor([1 + 2j], dtype=torch.complex128),
        torch.ones(3, dtype=torch.bfloat16),
    ],
)
def test_small_values_are_held_as_a_copy_among_others(values: Tensor) -> None:
    holder = HeldValues(Maps())
    first = holder.hold(torch.ones(1, dtype=torch.int8), None)

    held = holder.hold(values, None)

    assert isinstance(held, StagedValues)
    assert held.dtype is values.dtype
    assert torch.equal(tensor_of_values(held), values)
    assert tensor_of_values(first).tolist() == [1]


def test_what_would_take_more_stays_a_tensor() -> None:
    holder = HeldValues(Maps())
    large, empty, across = (
        torch.zeros(MOST_STAGED + 1, dtype=torch.uint8),
        torch.empty(0),
        torch.zeros(2, 3).t(),
    )

    assert [holder.hold(t, None) is t for t in (large, empty, across)] == [True] * 3


@pytest.mark.parametrize("suffix", [".mpk", ".mpk.zst", ".json", ".safetensors"])
def test_values_of_a_map_are_read_there_again(suffix: str, tmp_path: Path) -> None:
    values, file = torch.arange(4.0).view(2, 2), tmp_path / f"r{suffix}"
    burnish.save_record({"w": values}, file)
    maps = Maps()
    with burnish.open_record(file) as record:
        entry = record.entries()[0]

        held = HeldValues(maps).hold(entry.read(maps), entry.source)

    is_mapped = suffix in (".mpk", ".safetensors")
    assert isinstance(held, MappedValues if is_mapped else StagedValues)
    assert torch.equal(tensor_of_values(held), values)


class Flags(nn.Module):
    """A parameter, a buffer that is a part of it, and others of few bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3))
        self.register_buffer("on", torch.tensor([True, False]))
        self.register_buffer("n", torch.tensor(3))
        self.register_buffer("part", self.w.detach()[:2])


@pytest.mark.parametrize("suffix", [".mpk", ".mpk.zst", ".json", ".safetensors"])
def test_modules_of_small_values_are_filled(suffix: str, tmp_path: Path) -> None:
    net, other = Flags(), Flags()
    burnish.save_record(net, tmp_path / f"n{suffix}")

    burnish.load_record(other, tmp_path / f"n{suffix}")

    values, theirs = net.state_dict(), other.state_dict()
    assert [path for path in values if not values[path].equal(theirs[path])] == []
    assert theirs["part"].data_ptr() == other.w.data_ptr()
