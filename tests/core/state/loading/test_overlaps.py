"""Live values whose memory is written while they are loaded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import burnish
from burnish.core import into_record, load_record
from burnish.records import Precision, RecordMismatchError


class Buffers(nn.Module):
    def __init__(self, *buffers: Tensor) -> None:
        super().__init__()
        for i, buffer in enumerate(buffers):
            self.register_buffer(f"b{i}", buffer)


class Noted(nn.Module):
    """Extra state that is overwritten in place."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.note = torch.tensor([value])

    def get_extra_state(self) -> Any:
        return self.note

    def set_extra_state(self, state: Any) -> None:
        self.note.copy_(state)


def test_a_live_record_may_swap_the_layers_of_its_own_module() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    first, second = (layer.weight.detach().clone() for layer in module)  # type: ignore[union-attr, operator]
    record = into_record(module)

    load_record(module, burnish.open_record(record, rename={"0": "1", "1": "0"}))

    assert torch.equal(module[0].weight, second)  # type: ignore[arg-type]
    assert torch.equal(module[1].weight, first)  # type: ignore[arg-type]


def test_live_extra_state_may_be_swapped() -> None:
    first, second = Noted(1.0), Noted(2.0)

    load_record(nn.Sequential(second, first), into_record(nn.Sequential(first, second)))

    assert [first.note.item(), second.note.item()] == [2.0, 1.0]


@settings(max_examples=40, deadline=None)
@given(
    starts=st.lists(st.integers(0, 8), min_size=2, max_size=5),
    is_of_numpy=st.booleans(),
)
def test_overlapping_live_values_are_those_of_before_the_load(
    starts: list[int], is_of_numpy: bool
) -> None:
    array = np.arange(12, dtype=np.float32)
    flat = torch.from_numpy(array)
    views = [
        torch.from_numpy(array[s : s + 4]) if is_of_numpy else flat[s : s + 4]
        for s in starts
    ]
    source = Buffers(*views)
    expected = [view.clone() for view in views]
    target = Buffers(*[torch.zeros(4) for _ in views[1:]], flat[4:8])

    load_record(target, into_record(source))

    assert torch.equal(flat[4:8], expected[-1])
    for i in range(len(views) - 1):
        assert torch.equal(target.get_buffer(f"b{i}"), expected[i])


def test_values_that_cannot_all_be_in_one_memory_are_told_with_all_paths() -> None:
    shared = torch.zeros(6)
    separate = Buffers(torch.zeros(4), torch.ones(4), torch.ones(2))
    target = Buffers(shared[:4], shared[2:], torch.zeros(2))

    with pytest.raises(
        RecordMismatchError, match=r"b0: found .* those of b1, with which"
    ):
        load_record(target, into_record(separate))
    assert not shared.any()


class Shown(nn.Module):
    """A parameter that buffers show in part, turned, and beyond its end."""

    def __init__(self) -> None:
        super().__init__()
        memory = torch.randn(12)
        self.flat = nn.Parameter(memory[:9])
        self.turned = nn.Parameter(self.flat.data.view(3, 3).t())
        self.register_buffer("head", self.flat.data[:4])
        self.register_buffer("tail", memory[6:], persistent=False)


@pytest.mark.parametrize("suffix", ["mpk", "mpk.zst", "json", "safetensors"])
@pytest.mark.parametrize("precision", ["half", "bfloat16"])
@pytest.mark.parametrize("is_new", [True, False])
def test_what_shows_a_parameter_that_was_rounded_shows_it_rounded(
    suffix: str, precision: Any, is_new: bool, tmp_path: Path
) -> None:
    """Buffers are stored as they are; the values of both were refused, as different."""
    source, file = Shown(), tmp_path / f"shown.{suffix}"
    burnish.save_record(source, file, precision=precision)
    dtype = torch.float16 if precision == "half" else torch.bfloat16
    rounded = source.flat.detach().to(dtype).float()

    module = burnish.from_record(Shown, file) if is_new else Shown()
    report = burnish.load_record(module, file)

    assert torch.equal(module.flat, rounded)
    assert torch.equal(module.turned, rounded.view(3, 3).t())
    assert torch.equal(module.get_buffer("head"), rounded[:4])
    assert torch.equal(module.get_buffer("tail")[:3], rounded[6:])
    if suffix != "safetensors":  # which has no room for those that are not persistent
        assert torch.equal(module.get_buffer("tail")[3:], source.get_buffer("tail")[3:])
    assert any(line.startswith("head: shares memory") for line in report.changed)


def test_of_two_parameters_in_one_memory_the_finer_one_decides() -> None:
    def build() -> nn.Module:
        flat = torch.randn(6)
        return nn.ParameterList([nn.Parameter(flat), nn.Parameter(flat[:3])])

    source = build()
    data = burnish.save_record(source, precision=Precision(param="half", keep=["1"]))

    for module in (burnish.from_record(build, data), build()):
        burnish.load_record(module, data)
        flat, first = module.parameters()
        stored_flat, stored_first = source.parameters()
        assert torch.equal(first, stored_first)
        assert torch.equal(flat[3:], stored_flat[3:].half().float())


def test_values_that_differ_by_more_than_their_rounding_are_refused() -> None:
    source, other = Shown(), Shown()
    record = into_record(source)
    tensors = {
        "flat": record["flat"].half(),
        "turned": record["turned"].half(),
        "head": other.get_buffer("head"),
    }

    with pytest.raises(RecordMismatchError, match="head: found values that differ"):
        load_record(Shown(), burnish.Record.from_state_dict(tensors))


class Turned(nn.Module):
    """One memory of complex numbers, shown conjugated, as reals, and negated."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(3, dtype=torch.complex64))
        self.register_buffer("conjugated", self.a.detach().conj())
        self.register_buffer("reals", torch.view_as_real(self.a.detach()))
        self.register_buffer("negated", self.a.detach().conj().imag)


def test_memory_that_is_shown_conjugated_and_negated_takes_the_values_of_its_file() -> (
    None
):
    source, module = Turned(), Turned()
    data = burnish.save_record(source)

    load_record(module, data)
    built = burnish.from_record(Turned, data)

    for result in (module, built):
        for name, tensor in result.state_dict().items():
            assert torch.equal(tensor, source.state_dict()[name])
        result.a.data.fill_(1 + 2j)
        assert result.state_dict()["conjugated"][0] == 1 - 2j
        assert result.state_dict()["negated"][0] == -2
