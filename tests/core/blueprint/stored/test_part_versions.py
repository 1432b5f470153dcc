"""Stored edits of parts follow the rules that the classes of these parts have got."""

import json
from typing import Any

import pytest
import torch
from torch import nn

from burnish import module
from burnish.config import ChangeDefault, DeleteField, RenameField
from burnish.config.rewriting.rewrite_rule import RewriteRule
from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import FormatError

SWAP: list[RewriteRule] = [
    RenameField("width", "t"),
    RenameField("depth", "width"),
    RenameField("t", "depth"),
    RenameField("left", "t"),
    RenameField("right", "left"),
    RenameField("t", "right"),
]


def net_of(block: type[nn.Module]) -> Any:
    @module(name="tests/part_versions/net")
    class Net(nn.Module):
        def __init__(self, n: int = 2) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(block() for _ in range(n))

    return Net


def old_classes() -> Any:
    @module(name="tests/part_versions/block")
    class Block(nn.Module):
        def __init__(self, width: int = 3, depth: int = 2, drop: float = 0.0) -> None:
            super().__init__()
            self.left = nn.Linear(width, depth)
            self.right = nn.Linear(depth, width)

    return net_of(Block)


def new_classes(*rules: RewriteRule) -> Any:
    versions: Any = {"version": 1, "upgrade_rules": {0: [*SWAP, *rules]}}

    @module(name="tests/part_versions/block", **versions)
    class Block(nn.Module):
        def __init__(self, depth: int = 3, width: int = 2, drop: float = 0.0) -> None:
            super().__init__()
            self.right = nn.Linear(depth, width)
            self.left = nn.Linear(width, depth)

    return net_of(Block)


def configured(cls: Any) -> Any:
    blueprint = Blueprint(cls)
    blueprint.configure("blocks.0", depth=7)
    blueprint.configure("blocks.1.left", bias=False)
    return blueprint


def test_arguments_and_paths_below_a_part_have_the_names_of_now() -> None:
    data = json.loads(json.dumps(configured(old_classes()).to_dict()))
    new_classes()

    blocks: Any = Blueprint.from_dict(data).build().blocks

    assert "versions" not in data
    assert blocks[0].right.weight.shape == (7, 3)
    assert [blocks[1].right.bias, blocks[1].left.bias is None] == [None, False]


def test_a_record_of_what_was_built_follows_too() -> None:
    old = configured(old_classes()).build()
    data = old.save_record()

    new = new_classes().from_record(data)

    for before, now in zip(old.blocks, new.blocks, strict=True):
        assert torch.equal(before.left.weight, now.right.weight)
        assert (before.left.bias is None) is (now.right.bias is None)


def test_what_was_stored_by_the_class_of_now_stays_as_it_is() -> None:
    data = configured(new_classes()).to_dict()

    blocks: Any = Blueprint.from_dict(data).build().blocks

    assert data["versions"] == {"tests/part_versions/block": 1}
    assert blocks[0].left.weight.shape == (7, 2)
    assert blocks[1].left.bias is None


def test_an_edit_of_a_part_that_a_rule_removed_is_left_out() -> None:
    data = configured(old_classes()).to_dict()
    new_classes(DeleteField("right"))

    blueprint: Any = Blueprint.from_dict(data)

    assert [edit["at"] for edit in blueprint.to_dict()["tape"]] == ["blocks.0"]


@module(name="tests/part_versions/wrapper")
class Wrapper(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner


@pytest.mark.parametrize(
    ("path", "arguments"),
    [("blocks.*", {"depth": 7}), ("blocks.0.left", {"bias": False})],
)
def test_an_edit_of_what_is_wrapped_later_is_refused_rather_than_lost(
    path: str, arguments: Any
) -> None:
    blueprint = Blueprint(old_classes())
    blueprint.configure(path, **arguments)
    blueprint.wrap("blocks", Wrapper)
    data = blueprint.to_dict()
    new_classes()

    with pytest.raises(FormatError, match=r"blocks\.inner.* that a later edit wraps"):
        Blueprint.from_dict(data)


def test_an_edit_of_a_part_that_is_wrapped_itself_follows() -> None:
    blueprint = Blueprint(old_classes())
    blueprint.configure("blocks.0.left", bias=False)
    blueprint.wrap("blocks.0.left", Wrapper)
    data = blueprint.to_dict()
    new_classes()

    blocks: Any = Blueprint.from_dict(data).build().blocks

    assert blocks[0].right.inner.bias is None


@pytest.mark.parametrize("versions", [3, {"a": "1"}, {"a": -1}])
def test_versions_that_are_none_are_refused(versions: object) -> None:
    data = {**configured(old_classes()).to_dict(), "versions": versions}

    with pytest.raises(FormatError, match="versions: expected versions by name"):
        Blueprint.from_dict(data)


def test_edits_of_parts_whose_versions_nobody_knew_stay_as_they_are() -> None:
    data = {**configured(new_classes()).to_dict(), "versions": None}

    blocks: Any = Blueprint.from_dict(data).build().blocks

    assert blocks[1].left.bias is None


def rated(rules: Any, rate: int) -> Any:
    """Return a class of parts with a default rate, and one that has such a part."""
    versions: Any = {"version": 1, "upgrade_rules": {0: rules}} if rules else {}

    @module(name="tests/part_versions/rated", **versions)
    class Rated(nn.Module):
        def __init__(self, rate: int = rate, size: int = 1) -> None:
            super().__init__()
            self.rate, self.size = rate, size

    return Rated, net_of(Rated)


def test_an_old_default_is_in_the_place_of_no_argument_that_was_said() -> None:
    old_part, old_net = rated((), 2)
    parts = Blueprint(old_net).configure("blocks.0", rate=7).configure("**.0", size=3)
    parts.configure("blocks.1", size=4)
    whole = Blueprint(old_part, rate=7).configure(size=3)
    data = [json.loads(json.dumps(bp.to_dict())) for bp in (parts, whole)]
    rated([ChangeDefault("rate", 2, 5)], 5)

    net: Any
    part: Any
    net, part = (Blueprint.from_dict(stored).create() for stored in data)

    assert [(block.rate, block.size) for block in net.blocks] == [(7, 3), (2, 4)]
    assert (part.rate, part.size) == (7, 3)


def test_a_class_that_was_chosen_without_arguments_keeps_its_old_defaults() -> None:
    old_part, old_net = rated((), 2)
    data = Blueprint(old_net).replace("blocks.0", old_part).to_dict()
    rated([ChangeDefault("rate", 2, 5)], 5)

    net: Any = Blueprint.from_dict(json.loads(json.dumps(data))).create()

    assert net.blocks[0].rate == 2


@pytest.mark.parametrize(
    ("old_name", "name"), [("shell.part", "part"), ("part", "shell.part")]
)
def test_an_edit_follows_a_part_into_another_one_and_out_of_it(
    old_name: str, name: str
) -> None:
    def holder(name: str, rules: Any, part: type[nn.Module]) -> Any:
        versions: Any = {"version": 1, "upgrade_rules": {0: rules}} if rules else {}

        @module(name="tests/part_versions/holder", **versions)
        class Holder(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.shell = nn.Module()
                owner, _, last = name.rpartition(".")
                self.get_submodule(owner).add_module(last, part())

        return net_of(Holder)

    net = holder(old_name, (), rated((), 2)[0])
    data = Blueprint(net).configure(f"blocks.0.{old_name}", rate=7).to_dict()
    part = rated([ChangeDefault("size", 1, 1)], 2)[0]
    holder(name, [RenameField(old_name, name)], part)

    reopened: Any = Blueprint.from_dict(json.loads(json.dumps(data))).create()

    assert reopened.get_submodule(f"blocks.0.{name}").rate == 7
