"""A part of a record is a record: a submodule loads and saves it."""

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.config import RenameField
from burnish.records import Record, RecordMismatchError, open_record

from ...formats_of_records import SUFFIXES


class Net(burnish.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.encoder: Any = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width))
        self.head = nn.Linear(width, 2)
        self.tied = nn.Linear(width, 2)
        self.tied.weight = self.head.weight


def test_a_submodule_loads_its_part_of_a_file() -> None:
    net, other = Net(), Net()
    record = open_record(net.save_record())

    report = burnish.load_record(other.encoder, record.encoder)

    assert torch.equal(other.encoder[0].weight, net.encoder[0].weight)
    assert not torch.equal(other.head.weight, net.head.weight)
    assert [report.verified, report.missing, report.changed] == ["all", [], []]
    assert report.renamed["encoder.0.weight"] == "0.weight"


def test_a_part_of_a_part_builds_a_module() -> None:
    net = Net()
    record = open_record(net.save_record())

    layer = burnish.from_record(lambda: nn.Linear(3, 4), record.encoder[0])

    assert torch.equal(layer.weight, net.encoder[0].weight)
    assert torch.equal(record["encoder.0"].bias, net.encoder[0].bias)


def test_a_tie_with_another_part_is_in_both() -> None:
    record = open_record(Net().save_record())

    for part in (record.head, record.tied):
        assert [*open_record(part)] == ["weight", "bias"]


def test_a_part_is_saved_converted_and_loaded_as_every_record() -> None:
    net = Net()
    record = open_record(net.save_record())

    data = open_record(record.encoder, dtype=torch.bfloat16).save()

    assert open_record(data)["0.weight"].dtype is torch.bfloat16
    burnish.load_record(Net().encoder, data)


def test_what_the_reader_of_the_whole_left_out_may_be_missing_in_a_part() -> None:
    data = Net().save_record()
    record = open_record(data, exclude="encoder.0.bias")

    report = burnish.load_record(Net().encoder, record.encoder)

    assert report.missing == ["0.bias"]
    with pytest.raises(RecordMismatchError, match="bias: expected"):
        burnish.load_record(nn.Linear(4, 2), open_record(data, exclude="head.bias"))


def test_a_part_under_a_new_name_reports_the_name_in_the_file() -> None:
    record = open_record(Net().save_record(), rename={"head": "out"})

    report = burnish.load_record(nn.Linear(4, 2), record.out)

    assert report.renamed["head.bias"] == "bias"


def test_the_version_of_a_part_comes_with_it() -> None:
    @burnish.module(version=1, upgrade_rules={0: [RenameField("w", "weight")]})
    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2))

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = Part()

    new = open_record(burnish.save_record(Whole()))
    old = Record.from_state_dict({"part.w": torch.ones(2)})

    burnish.load_record(Part(), new.part)
    part = Part()
    burnish.load_record(part, old["part"])

    assert part.weight.tolist() == [1.0, 1.0]


def test_extra_state_with_tensors_comes_with_its_part() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.state: Any = {"seen": torch.arange(3)}

        def get_extra_state(self) -> Any:
            return self.state

        def set_extra_state(self, state: Any) -> None:
            self.state = state

    counting = Counting()
    net = nn.Sequential(nn.Linear(2, 2), counting)
    counting.state = {"seen": torch.arange(7)}
    record = open_record(burnish.save_record(net))
    other = Counting()

    burnish.load_record(other, record[1])

    assert other.state["seen"].tolist() == [*range(7)]


def test_a_part_of_a_record_with_declared_fields_is_refused() -> None:
    class Run(Record):
        losses: dict[str, torch.Tensor]

    record = open_record(Run({"a": torch.ones(1)}).save())

    with pytest.raises(TypeError, match="'losses' is a part of a "):
        burnish.load_record(nn.Linear(1, 1), record.losses)


def test_a_file_object_gives_parts_too() -> None:
    file = io.BytesIO(Net().save_record())

    assert burnish.load_record(Net().head, open_record(file).head).verified == "all"


def test_a_name_that_a_part_lacks_is_answered_with_those_that_are_there() -> None:
    record = open_record(Net().save_record())

    with pytest.raises(AttributeError, match=r"'head'; stored there: .*mean 'weight'"):
        _ = record.head.weigth
    with pytest.raises(KeyError, match=r"'7' below 'encoder'; stored there: 0, 1\."):
        _ = record.encoder[7]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda part: pickle.loads(pickle.dumps(part))]
)
def test_a_part_of_an_open_file_is_copied_and_pickled_with_its_values(
    tmp_path: Path, again: Any, suffix: str
) -> None:
    file = tmp_path / f"net.{suffix}"
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 3)), nn.Linear(3, 200))
    burnish.save_record(net, file)

    with burnish.open_record(file) as record:
        part = again(record["0"][0])
        assert len(pickle.dumps(record["0"])) < 2000

    if again is not copy.copy:
        assert torch.equal(part.weight, net[0][0].weight)  # type: ignore[index]  # a Sequential
        assert torch.equal(part["bias"], net[0][0].bias)  # type: ignore[index]  # a Sequential
    assert [*part] == ["weight", "bias"]


def test_a_part_of_a_record_with_odd_keys_is_copied_too() -> None:
    class Odd(Record):
        x: dict[str, dict[str, torch.Tensor]]

    record = burnish.open_record(Odd(x={"a.b": {"": torch.ones(1)}}).save())

    part = copy.deepcopy(record.x["a.b"])

    assert torch.equal(part[""], torch.ones(1))
