"""The bytes of entries: what is gathered, converted and written together."""

import signal
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from burnish.records import Record, RecordChecksumError, Recorder, open_record
from burnish.records.formats.json_values import Text
from burnish.records.io.lazy_payload import MUCH, LazyPayload
from burnish.records.writing.payload import (
    is_undisturbed,
    row_of,
    saved_from_snapshot,
)


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


def refuse(*_: object) -> object:
    raise AssertionError("the whole tensor was asked for")


@pytest.mark.parametrize("target", ["mpk", "mpk.zst", "safetensors"])
@pytest.mark.parametrize("precision", [None, "half"])
@pytest.mark.parametrize(
    ("source", "payload"),
    [("mpk.zst", LazyPayload), ("safetensors", LazyPayload), ("json", Text)],
)
def test_a_large_tensor_that_cannot_be_mapped_is_stored_again_block_by_block(
    source: str,
    payload: type[object],
    precision: Any,
    target: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = torch.arange(MUCH // 4 + 5).sin()
    data = Recorder(source).dumps(
        Record.from_state_dict({"w": values, "b": values[:3]})
    )
    record = open_record(data)

    with monkeypatch.context() as patch:
        small = vars(payload)["load"]
        patch.setattr(
            payload,
            "load",
            lambda self, *rest: small(self, *rest) if self.shape == (3,) else refuse(),
        )
        again = Recorder(target).dumps(record, precision=precision)

    stored = open_record(again)["w"]
    assert torch.equal(stored, values.half() if precision else values)


def test_a_large_tensor_whose_blocks_are_damaged_leaves_the_file_as_it_was(
    tmp_path: Path,
) -> None:
    values = torch.arange(MUCH // 4 + 5).sin()
    data = bytearray(Recorder("mpk").dumps(Record.from_state_dict({"w": values})))
    data[len(data) // 2] ^= 1
    file = tmp_path / "x.mpk"
    Record.from_state_dict({"w": torch.ones(2)}).save(file)

    with pytest.raises(RecordChecksumError, match="w"):
        open_record(bytes(data)).save(file, precision="half")

    assert torch.equal(open_record(file)["w"], torch.ones(2))


def test_what_a_handler_of_signals_raises_is_no_tensor_without_storage() -> None:
    def limit(*_: object) -> None:
        raise RuntimeError("limit of time")

    class Interrupted:
        @property
        def nbytes(self) -> int:
            signal.raise_signal(signal.SIGALRM)
            return 0

    before = signal.signal(signal.SIGALRM, limit)
    try:
        with pytest.raises(RuntimeError, match="limit of time"):
            row_of(cast("torch.Tensor", Interrupted()))
    finally:
        signal.signal(signal.SIGALRM, before)
