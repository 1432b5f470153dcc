"""A module's record put together by hand."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.config import RenameField
from burnish.core import from_record, into_record, load_record
from burnish.core.persistence.saving import record_type
from burnish.records import FlatRecord, Record, RecordMismatchError, open_record


class Net(burnish.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))
        self.scale = nn.Parameter(torch.ones(width))


@pytest.mark.parametrize("name", ["net.mpk", "net.json", "net.safetensors"])
def test_tensors_and_records_by_name_are_the_record_of_a_module(
    tmp_path: Path, name: str
) -> None:
    encoder, scale = Net().encoder, torch.full((2,), 3.0)
    record = Net.Record(encoder=into_record(encoder), scale=scale)
    record.save(tmp_path / name)

    for source in (record, tmp_path / name):
        net = from_record(Net, source)
        filled = Net()
        report = filled.load_record(source)

        assert report.missing == []
        for module in (net, filled):
            assert torch.equal(module.scale, scale)
            weights = module.encoder.state_dict()
            assert torch.equal(weights["0.weight"], encoder.state_dict()["0.weight"])


def test_a_record_by_hand_is_of_its_class_and_shares_its_tensors() -> None:
    scale = torch.ones(2)

    record = Net.Record(scale=scale)

    assert type(record) is Net.Record
    assert record.type_name == "Net"
    assert record.scale is scale


def test_parts_are_dicts_dotted_names_and_parts_of_records_too() -> None:
    stored = open_record(Net().save_record())

    record = Net.Record(
        {"encoder.0": {"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}},
        encoder={"1": stored.encoder["1"]},
        scale=stored.scale,
    )
    net = Net()
    net.load_record(record)

    state = net.state_dict()
    assert torch.equal(state["encoder.0.weight"], torch.zeros(2, 2))
    path = "encoder.1.running_var"
    assert torch.equal(state[path], stored[path])


def test_a_tensor_at_two_names_is_stored_once() -> None:
    weight = torch.ones(3)

    [entry] = FlatRecord(a=weight, b={"c": weight}).entries()

    assert (entry.path, entry.ties) == ("a", ("b.c",))


def test_plain_data_is_extra_state_and_keeps_the_tensors_in_it() -> None:
    inner = FlatRecord(w=torch.zeros(1), _extra_state={"seen": [torch.ones(2), 5]})
    record = FlatRecord(state=[torch.full((1,), 7.0)], inner=inner, v=torch.zeros(2))

    stored = open_record(record.save())

    seen = stored.extra()["inner._extra_state"]["seen"]
    assert torch.equal(seen[0], torch.ones(2))
    assert seen[1] == 5
    assert torch.equal(stored.extra()["state"][0], torch.full((1,), 7.0))


def test_names_are_those_of_the_class_today_and_records_know_their_version() -> None:
    class Inner(burnish.Module):
        def __init__(self) -> None:
            super().__init__()
            self.old = nn.Parameter(torch.zeros(1))

    old_record = into_record(Inner())

    @burnish.module(version=1, upgrade_rules={0: [RenameField("old", "new")]})
    class Newer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.new = nn.Parameter(torch.zeros(1))

    class Outer(burnish.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Newer()

    values = torch.ones(1)
    net, outer = Newer(), Outer()
    load_record(net, record_type(Newer)(new=values))
    outer.load_record(Outer.Record(inner=record_type(Newer)(new=values)))

    assert torch.equal(net.new, values)
    assert torch.equal(outer.inner.new, values)
    outer.load_record(Outer.Record(inner=old_record))
    assert torch.equal(outer.inner.new, torch.zeros(1))


def test_names_that_a_module_does_not_have_are_told_when_it_is_loaded() -> None:
    with pytest.raises(RecordMismatchError, match="sclae"):
        Net().load_record(Net.Record(sclae=torch.ones(2)))


class State(Record):
    step: int


@pytest.mark.parametrize(
    ("parts", "error", "problem"),
    [
        ({"a": {"b": 1}, "a.b": 2}, ValueError, r"a\.b: two values have this path"),
        ({"a": State(1)}, TypeError, r"a: a State has declared fields"),
        ({"a": {1: 2}}, TypeError, r"a: a name must be a str, got 1"),
        ({"a": nn.ReLU()}, TypeError, r"a: a .*ReLU is not plain data"),
        ([1], TypeError, r"from named parts, .*got a list"),
        (State(1), TypeError, r"from named parts, .*got a State"),
    ],
)
def test_what_is_no_part_is_refused(
    parts: Any, error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        FlatRecord(parts)
