"""Patterns choose entries; one that chooses nothing is a mistake."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.core import into_record
from burnish.records import (
    Entry,
    FlatRecord,
    RecordError,
    open_record,
)


def test_plain_data_is_chosen_with_the_tensors_in_it_or_not_at_all() -> None:
    tree = {"a._extra_state": {"ema": {"$tensor": 0}}}
    entries = [
        Entry("a.ema", "extra", torch.float32, (2,), torch.ones(2)),
        Entry("a.w", "parameter", torch.float32, (2,), torch.zeros(2)),
    ]
    record = FlatRecord.of(entries, tree=tree)

    with pytest.raises(ValueError, match=r"a\._extra_state: .* a\.ema, a tensor in it"):
        record.select(exclude="a.ema")
    assert list(record.select(exclude=["a.ema", "a._extra_state"])) == ["a.w"]


def test_only_and_exclude_choose_entries(file: Path) -> None:
    assert list(open_record(file, only="encoder.**")) == [
        "encoder.0.weight",
        "encoder.0.bias",
    ]
    assert list(open_record(file, exclude=["**.weight", "steps"])) == ["encoder.0.bias"]
    assert list(open_record(file, only=lambda e: e.dtype is torch.int64)) == ["steps"]


def test_a_pattern_that_matches_nothing_is_a_mistake(file: Path) -> None:
    with pytest.raises(
        ValueError, match=r"only='encoder' matches nothing.*'encoder\.\*\*'"
    ):
        open_record(file, only="encoder")
    with pytest.raises(
        ValueError, match=r"exclude='head\.wait' matches .*'head\.weight'"
    ):
        open_record(file, exclude="head.wait")
    with pytest.raises(ValueError, match=r"nothing\. Available: encoder\.0\.weight, "):
        open_record(file, only="zzz.**")


class Counting(nn.Module):
    """A layer, and extra state beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.n_calls = nn.Linear(2, 2), 0
        self.layer.bias.requires_grad_(False)

    def get_extra_state(self) -> dict[str, Any]:
        return {"n_calls": self.n_calls, "mean": torch.ones(2)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.n_calls = state["n_calls"]


@pytest.mark.parametrize(
    ("predicate", "paths"),
    [
        (burnish.trainable, ["layer.weight"]),
        (lambda entry: entry.path == "layer.bias", ["layer.bias"]),
        (lambda entry: entry.dtype is torch.float64 or entry.nbytes > 8, None),
    ],
)
def test_predicates_see_extra_state_as_an_entry(
    predicate: Any, paths: list[str] | None
) -> None:
    module = Counting()

    record = open_record(burnish.save_record(module, only=predicate))

    assert list(record) == (paths or ["layer.weight"])
    assert record.extra() == {}
    report = burnish.load_record(
        module, record, allow_missing=lambda entry: not entry.requires_grad or True
    )
    assert report.loaded == list(record)


def test_a_predicate_tells_extra_state_by_its_kind() -> None:
    module = Counting()
    module.n_calls = 3

    data = burnish.save_record(module, only=lambda entry: entry.kind == "extra")

    other = Counting()
    burnish.load_record(other, data, strict=False)
    assert other.n_calls == 3


def test_a_predicate_is_asked_about_parameters_that_have_no_shape_yet() -> None:
    lazy = nn.LazyLinear(2)

    with pytest.raises(RecordError, match="weight"):
        burnish.save_record(lazy, only=burnish.trainable)


@pytest.mark.parametrize(
    "value", [nn.Linear(2, 2), {"a": torch.ones(2), "b": torch.ones(3)}]
)
def test_patterns_that_leave_nothing_to_save_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="leaves none of 2 entries"):
        burnish.save_record(value, only="**", exclude="**")

    # What a predicate chooses is its own affair, and an empty record has no less.
    assert burnish.save_record(value, only=lambda entry: False)
    assert burnish.save_record(nn.Identity(), only=[])


class TiedModel(nn.Module):
    """A language model; its head is the embedding, or one of another size."""

    def __init__(self, n_classes: int | None = None) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, n_classes or 5, bias=False)
        if n_classes is None:
            self.head.weight = self.embed.weight


@pytest.mark.parametrize(
    "choice", [{"exclude": "head.**"}, {"exclude": lambda e: "head" in e.path}]
)
def test_what_is_tied_stays_under_the_names_that_are_not_left_out(
    choice: Any, tmp_path: Path
) -> None:
    net = TiedModel()
    burnish.save_record(net, tmp_path / "whole.mpk")
    burnish.save_record(net, tmp_path / "chosen.mpk", **choice)

    for record in (
        open_record(tmp_path / "whole.mpk", **choice),
        open_record(tmp_path / "chosen.mpk"),
        into_record(net).select(**choice),
    ):
        assert list(record) == ["embed.weight"]
        other = TiedModel(n_classes=2)
        report = burnish.load_record(other, record, allow_missing="head.**")
        assert report.missing == ["head.weight"]
        assert torch.equal(other.embed.weight, net.embed.weight)


def test_what_is_chosen_by_one_of_its_names_is_not_stored_under_another() -> None:
    record = open_record(burnish.save_record(TiedModel()), only="head.**")
    other = TiedModel(n_classes=5)
    embedding = other.embed.weight.detach().clone()

    burnish.load_record(other, record)

    assert list(record) == ["head.weight"]
    assert torch.equal(other.embed.weight, embedding)
