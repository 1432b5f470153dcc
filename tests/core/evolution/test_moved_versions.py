"""A part that rules move keeps the version of its class, however they move it."""

from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.config import DeleteField, RenameField
from burnish.core import (
    MergeTensors,
    SplitTensor,
    StackTensors,
    TransposeTensor,
    UnstackTensor,
)
from burnish.records.errors import RecordMismatchError

from .test_rule_effects import Swap


@burnish.module(version=1, upgrade_rules={0: [TransposeTensor("w")]})
class Part(nn.Module):
    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(sizes or (3, 3)))


class OfTensors(Swap):
    """A rule that moves the entries of ``a`` to ``z``, and renames nothing."""

    def apply_to_entries(self, entries: Any, derive: Any) -> dict[str, Any]:
        return {p.replace("a.", "z."): entry for p, entry in entries.items()}


def whole(parts: dict[str, nn.Module], *rules: Any) -> Any:
    """Return a module of ``parts``, of version 1 if there are rules."""

    @burnish.module(version=len(rules[:1]), upgrade_rules={0: rules} if rules else {})
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, part in parts.items():
                self.add_module(name, part)

    return Whole()


@pytest.mark.parametrize(
    "rules",
    [
        [RenameField("a", "z")],
        [RenameField("a.w", "z.w")],
        [RenameField("a.*", "z.*")],
        [RenameField("a.*", "y.*"), RenameField("y.*", "x.*"), RenameField("x", "z")],
        [OfTensors()],
    ],
    ids=str,
)
def test_a_part_is_not_upgraded_again_where_it_is_moved(rules: list[Any]) -> None:
    """The rules of its class ran twice, and its tensors came transposed."""
    old, new = whole({"a": Part()}), whole({"z": Part()}, *rules)

    burnish.load_record(new, burnish.save_record(old))

    assert torch.equal(new.z.w, old.a.w)


@pytest.mark.parametrize("field", ["", ".*", ".w"])
def test_parts_that_change_places_take_their_versions_along(field: str) -> None:
    @burnish.module
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(3, 3))

    moves = [("a", "t"), ("b", "a"), ("t", "b")]
    rules = [RenameField(old + field, new + field) for old, new in moves]
    old = whole({"a": Part(), "b": Other()})
    new = whole({"a": Other(), "b": Part()}, *rules)

    burnish.load_record(new, burnish.save_record(old))

    assert torch.equal(new.b.w, old.a.w)
    assert torch.equal(new.a.w, old.b.w)


def test_a_part_that_takes_its_tensors_into_its_own_part_keeps_its_version() -> None:
    rules = {0: [TransposeTensor("w")], 1: [TransposeTensor("inner.w")]}

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Part()

    new_holder = burnish.module(version=2, upgrade_rules=rules)(Holder)
    old = whole({"a": Part()})
    new = whole({"a": new_holder()}, RenameField("a.w", "a.inner.w"))

    burnish.load_record(new, burnish.save_record(old))

    # Once by the part, and once by the part of it, which is new.
    assert torch.equal(new.a.inner.w, old.a.w)


def test_the_parts_of_a_split_one_are_of_its_version_and_so_is_what_is_merged() -> None:
    old = whole({"a": Part(6, 3)})
    split = whole({"y": Part(), "z": Part()}, SplitTensor("a.w", ["y.w", "z.w"]))
    merged = whole({"a": Part(6, 3)}, MergeTensors(["y.w", "z.w"], "a.w"))

    burnish.load_record(split, burnish.save_record(old))
    pieces = whole({"y": split.y, "z": split.z})
    burnish.load_record(merged, burnish.save_record(pieces))

    assert torch.equal(split.z.w, old.a.w[3:])
    assert torch.equal(merged.a.w, old.a.w)


def test_what_is_taken_out_of_a_part_that_stays_is_of_version_0() -> None:
    @burnish.module(version=3, upgrade_rules={1: []})
    class Large(Part):
        def __init__(self) -> None:
            super().__init__()
            self.v = nn.Parameter(torch.randn(3))

    old = whole({"a": Large()})
    rules = [RenameField("a.w", "z.w"), DeleteField("a.v")]
    net = whole({"a": nn.Identity(), "z": Part()}, *rules)

    burnish.load_record(net, burnish.save_record(old))

    assert torch.equal(net.z.w, old.a.w.T)


@pytest.mark.parametrize(
    ("stored", "parts", "rule"),
    [
        ("a", "z", RenameField("a.w", "z.v")),
        ("a", "0", UnstackTensor("a.w", "*.w")),
        ("0 1", "z", StackTensors("*.w", "z.w")),
    ],
    ids=str,
)
def test_a_part_of_which_no_version_is_known_is_refused(
    stored: str, parts: str, rule: Any
) -> None:
    old = whole({name: Part() for name in stored.split()})
    new = whole({name: Part() for name in parts}, rule)

    with pytest.raises(
        RecordMismatchError, match=r"makes \w+ of \w+\. Both of their classes have"
    ):
        burnish.load_record(new, burnish.save_record(old))
