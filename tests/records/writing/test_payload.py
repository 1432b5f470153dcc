"""The bytes of entries: what is gathered, converted and written together."""

import sys

import pytest
import torch
from torch import nn

from burnish.records import Record, Recorder, open_record
from burnish.records.writing.payload import is_undisturbed, saved_from_snapshot


def test_a_lone_vector_that_learns_is_converted_without_a_warning() -> None:
    bias = nn.Parameter(torch.tensor([0.1, -2.5]))
    record = Record.from_state_dict({"bias": bias})

    data = record.save(precision="half")

    stored = open_record(data)["bias"]
    assert torch.equal(stored, bias.detach().half())


@pytest.mark.parametrize("format_name", ["mpk", "json", "safetensors"])
@pytest.mark.parametrize("size", [3, 2_000_000])
def test_booleans_of_other_bytes_than_0_and_1_are_stored_as_what_they_mean(
    format_name: str, size: int
) -> None:
    if format_name == "json":
        size = min(size, 1000)
    raw = torch.zeros(size, dtype=torch.uint8)
    raw[0], raw[2] = 2, 255
    flags = {"a": raw.view(torch.bool), "b": raw.view(torch.bool)[::2]}

    data = Recorder(format_name).dumps(Record.from_state_dict(flags))

    assert torch.equal(open_record(data)["a"], raw != 0)
    assert torch.equal(open_record(data)["b"], raw[::2] != 0)


def test_values_are_safe_from_others_in_a_snapshot_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "_current_frames", lambda: {1: None, 2: None})

    with saved_from_snapshot():
        in_snapshot = is_undisturbed()

    assert in_snapshot
    assert not is_undisturbed()
