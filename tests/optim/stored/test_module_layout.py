"""What records of optimizers tell of the module that they belong to."""

from typing import Any

import pytest
import torch
from torch import nn

from burnish.optim import AdamW, OptimizerRecord
from burnish.optim.stored.module_layout import ModuleLayout
from burnish.records import RecordMismatchError

from ...core.evolution.versions import define, nest
from .upgrades import CHANGES, trained


def test_a_layout_has_the_forms_ties_and_versions_of_a_module() -> None:
    net = define(nest({"a.w": (2, 3), "s": ()}), 2, {})()
    net.b = nn.Module()
    net.b.w = net.a.w
    net.lazy = nn.LazyLinear(2)

    layout = ModuleLayout.of(net)

    assert layout.shapes == {"a.w": (2, 3), "s": ()}
    assert layout.ties == {"b.w": "a.w"}
    assert layout.versions == {"": 2}
    assert ModuleLayout.read(layout.as_data(), "file") == layout


def test_a_record_without_a_layout_is_matched_by_id_and_path() -> None:
    _, optimizer = trained(CHANGES["split"], AdamW())
    record = optimizer.into_record()
    del record.metadata["optimizer"]["module"]

    report = optimizer.load_record(record.save())

    assert report.loaded == ["qkv", "b"]


def test_the_record_of_a_newer_class_is_matched_by_id_and_path() -> None:
    net = define(nest({"w": (2,)}), 3, {})()
    optimizer = AdamW().bind(net, lr=0.1)
    net.w.grad = torch.ones(2)
    optimizer.step()
    older = AdamW().bind(define(nest({"w": (2,)}), 1, {})(), lr=0.1)

    assert older.load_record(optimizer.save_record()).loaded == ["w"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"params": {"w": [2, -1]}}, r"w: \[2, -1\] is not the shape of a parameter"),
        ({"params": {"w": [2**40, 2**40]}}, "is not the shape of a parameter"),
        ({"params": {"w": "2"}}, "w: '2' is not the shape"),
        ({"params": {"w": [2]}, "ties": {"v": "u"}}, "v: found it tied to 'u'"),
        ({"params": {"w": [2]}, "versions": {"": "1"}}, "'1' is not a version"),
    ],
)
def test_a_layout_that_is_none_changes_nothing(data: Any, problem: str) -> None:
    _, optimizer = trained(CHANGES["split"], AdamW())
    record = optimizer.into_record()
    record.metadata["optimizer"]["module"] = data
    fresh = AdamW().bind(CHANGES["split"].new_class()(), lr=0.1)

    with pytest.raises(RecordMismatchError, match=problem):
        fresh.load_record(OptimizerRecord.load(record.save()))

    assert not fresh.state


@pytest.mark.parametrize("data", [None, 3, [], {}, {"params": None, "ties": 3}])
def test_no_layout_is_an_empty_one(data: Any) -> None:
    assert ModuleLayout.read(data, "file") == ModuleLayout({}, {}, {})
