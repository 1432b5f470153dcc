"""Patterns choose entries; one that chooses nothing is a mistake."""

from pathlib import Path

import pytest
import torch

from burnish.records import (
    Entry,
    FlatRecord,
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
