"""Older records are carried over to the classes of today."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.config import DeleteField, RenameField
from burnish.core import from_hyperparameters, load_record, module
from burnish.core.evolution.record_check import upgrade_file
from burnish.core.evolution.tensor_rules import (
    MergeTensors,
    SplitTensor,
    StackTensors,
    TransposeTensor,
    UnstackTensor,
)
from burnish.records import (
    RecordError,
    RecordMismatchError,
    RecordVersionError,
    open_record,
)
from burnish.train import Checkpoints

from .versions import FORMATS, RULES, attention_v0, attention_v2, define, nest


@pytest.mark.parametrize("name", FORMATS)
def test_an_older_record_of_every_format_loads(tmp_path: Path, name: str) -> None:
    old = define(attention_v0)()
    old.save_record(tmp_path / name)
    newer = define(attention_v2, 2, RULES)

    for net in (newer.from_record(tmp_path / name), newer()):
        report = load_record(net, tmp_path / name)

        assert torch.equal(net.head.weight, old.fc1.weight)
        fused = torch.cat([net.layers[1][n].weight for n in "qkv"])
        assert torch.equal(fused, old.layers[1].qkv.weight)
        assert torch.equal(net.layers[0].v.bias, old.layers[0].qkv.bias[8:])
        assert report.renamed["fc1.weight"] == "head.weight"


def test_rules_begin_at_the_version_that_wrote_the_record(tmp_path: Path) -> None:
    def middle(self: Any) -> None:
        attention_v0(self)
        self.middle = self.fc1
        del self.fc1, self.old

    old = define(middle, 1, {0: RULES[0]})()
    old.save_record(tmp_path / "net.mpk")

    net = define(attention_v2, 2, RULES).from_record(tmp_path / "net.mpk")

    assert torch.equal(net.head.weight, old.middle.weight)
    with open_record(tmp_path / "net.mpk") as record:
        assert record.metadata["burnish"]["version"] == 1


def pair(self: Any) -> None:
    self.w, self.v = (nn.Parameter(torch.randn(3, 3)) for _ in "wv")


SWAP = [RenameField("w", "x"), RenameField("v", "w"), RenameField("x", "v")]
PAIR_RULES = {0: [TransposeTensor("w")], 1: SWAP}


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_a_module_in_the_place_of_a_deleted_one_keeps_its_version(
    tmp_path: Path, names: str
) -> None:
    children = {"a": define(pair, 2), "b": define(pair, 1)}

    def keep_both(self: Any) -> None:
        for name in names:
            setattr(self, name, children[name]())

    old = define(keep_both)()
    old.save_record(tmp_path / "net.mpk")
    child = define(pair, 2, PAIR_RULES)
    rules = {0: [DeleteField("a"), RenameField("b", "a")]}
    net = define(lambda self: setattr(self, "a", child()), 1, rules)()

    load_record(net, tmp_path / "net.mpk")

    assert torch.equal(net.a.v, old.b.w)


@pytest.mark.parametrize("rename", [{"old": "new"}, [RenameField("old", "new")]])
def test_a_module_renamed_by_the_reader_keeps_its_version(
    tmp_path: Path, rename: Any
) -> None:
    old_child, child = define(pair, 1), define(pair, 2, PAIR_RULES)
    old = define(lambda self: setattr(self, "old", old_child()))()
    old.save_record(tmp_path / "net.mpk")
    net = define(lambda self: setattr(self, "new", child()))()

    load_record(net, open_record(tmp_path / "net.mpk", rename=rename))

    assert torch.equal(net.new.v, old.old.w)


class Halved(nn.Module):
    """A class of torch's version 3, before which its values were twice as large."""

    _version = 3

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, 3))

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        state, prefix, metadata, *_ = args
        if metadata.get("version", 1) < 3:
            state[prefix + "w"] = state[prefix + "w"] / 2
        super()._load_from_state_dict(*args, **kwargs)


@pytest.mark.parametrize(
    "rule", [RenameField("old", "new"), RenameField("old.w", "new.w")]
)
def test_a_rewritten_file_says_the_versions_of_torch_where_its_modules_are_now(
    tmp_path: Path, rule: RenameField
) -> None:
    old = define(lambda self: setattr(self, "old", Halved()))()
    old.save_record(tmp_path / "net.mpk")
    newer = define(lambda self: setattr(self, "new", Halved()), 1, {0: [rule]})

    upgrade_file(tmp_path / "net.mpk", newer)

    net = newer()
    net.load_state_dict(open_record(tmp_path / "net.mpk").to_state_dict())
    assert torch.equal(net.new.w, old.old.w)


def test_a_record_of_today_is_not_rewritten(tmp_path: Path) -> None:
    rules = {0: [TransposeTensor("lin.weight"), RenameField("lin", "lin")]}

    def make(self: Any) -> None:
        self.lin = nn.Linear(3, 3)

    cls = define(make, 1, rules)
    net = cls()
    net.save_record(tmp_path / "net.mpk")

    assert torch.equal(cls.from_record(tmp_path / "net.mpk").lin.weight, net.lin.weight)


def test_a_newer_record_is_refused(tmp_path: Path) -> None:
    define(attention_v2, 2, RULES)().save_record(tmp_path / "net.mpk")

    with pytest.raises(RecordVersionError, match="version 2"):
        define(attention_v2, 1, {}).from_record(tmp_path / "net.mpk")


def test_a_newer_record_of_a_part_is_refused_unless_the_whole_is_newer() -> None:
    def part(version: int) -> Any:
        make: Any = lambda self: setattr(self, "w", nn.Parameter(torch.randn(2)))  # noqa: E731
        return define(make, version, {}, name="Part")

    def whole(part: Any, version: int = 0) -> Any:
        return define(lambda self: setattr(self, "part", part()), version, {})()

    saved = open_record(whole(part(2)).save_record())

    for version in (0, 1):
        with pytest.raises(RecordVersionError, match=r"a Part at part is version 2"):
            load_record(whole(part(version)), saved)
    # Another class may stand there since.
    load_record(whole(part(0), 1), saved)


def test_rules_of_a_child_hold_wherever_it_stands(tmp_path: Path) -> None:
    def old_block(self: Any) -> None:
        self.fc = nn.Linear(3, 3)

    def new_block(self: Any) -> None:
        self.lin = nn.Linear(3, 3)

    old, new = (
        define(old_block, name="Block"),
        define(new_block, 1, {0: [RenameField("fc", "lin")]}, name="Block"),
    )

    def old_net(self: Any) -> None:
        self.blocks = nn.ModuleList(old() for _ in range(2))
        self.fc = nn.Linear(1, 1)

    def new_net(self: Any) -> None:
        self.stages = nn.ModuleList(new() for _ in range(2))
        self.fc = nn.Linear(1, 1)

    before = define(old_net)()
    before.save_record(tmp_path / "net.mpk")
    after = define(new_net, 1, {0: [RenameField("blocks", "stages")]})

    net = after.from_record(tmp_path / "net.mpk")

    assert torch.equal(net.stages[1].lin.weight, before.blocks[1].fc.weight)
    assert torch.equal(net.fc.weight, before.fc.weight)
    net.save_record(tmp_path / "again.mpk")
    assert torch.equal(
        after.from_record(tmp_path / "again.mpk").fc.bias, before.fc.bias
    )


def test_hyperparameters_are_carried_over_by_the_same_rules(tmp_path: Path) -> None:
    def make_old(self: Any, width: int = 3) -> None:
        self.fc = nn.Linear(width, 1)

    def make_new(self: Any, hidden: int = 1) -> None:
        self.head = nn.Linear(hidden, 1)

    class Old(nn.Module):
        def __init__(self, width: int = 3, drop: int = 1) -> None:
            super().__init__()
            make_old(self, width)

    class New(nn.Module):
        def __init__(self, hidden: int = 1) -> None:
            super().__init__()
            make_new(self, hidden)

    old: Any = module(name="tests/evolving")(Old)(7)
    old.save_pretrained(tmp_path)
    rules = [
        RenameField("width", "hidden"),
        DeleteField("drop"),
        RenameField("fc", "head"),
    ]
    new: Any = module(name="tests/evolving", version=1, upgrade_rules={0: rules})(New)

    net = new.from_pretrained(tmp_path)

    assert net.hparams["hidden"] == 7
    assert net.hparams["__version__"] == 1
    assert torch.equal(net.head.weight, old.fc.weight)
    again: Any = from_hyperparameters(net.hparams)
    assert again.head.in_features == 7
    with pytest.raises(RecordVersionError, match=r"version 9, and the newest .* is 1"):
        from_hyperparameters({**net.hparams, "__version__": 9})


def nameless(x: torch.Tensor) -> torch.Tensor:
    """Return ``x``; a function that no file can name."""
    return x


def test_a_renamed_argument_comes_back_as_the_type_that_was_passed() -> None:
    class Old(burnish.Module, name="tests/renamed_kinds"):
        def __init__(self, sizes: Any, parts: Any, by_name: Any, act: Any) -> None:
            super().__init__()
            self.parts = parts

    old = Old((1, 2), nn.ModuleList([nn.ReLU()]), {"a.b": (1,), "old": (2,)}, nameless)
    data = burnish.save_record(old)
    rules = [
        RenameField("sizes", "dims"),
        RenameField("parts", "layers"),
        RenameField("by_name", "named"),
        RenameField("named.old", "named.new"),
        RenameField("act", "function"),
    ]

    class New(
        burnish.Module,
        name="tests/renamed_kinds",
        version=1,
        upgrade_rules={0: rules},
    ):
        def __init__(
            self, dims: Any, layers: Any, named: Any, function: Any = torch.relu
        ) -> None:
            super().__init__()
            self.layers = layers
            self.told = (dims, named, function)

    new = New.from_record(data, function=nameless)

    assert isinstance(new.layers, nn.ModuleList)
    assert new.told == ((1, 2), {"a.b": (1,), "new": (2,)}, nameless)
    with pytest.raises(
        RecordError, match=r"function: .*the argument of this .*New could not be stored"
    ):
        New.from_record(data)


@pytest.mark.parametrize("version", [1, 5])
def test_rules_from_the_version_on_are_refused(version: int) -> None:
    with pytest.raises(ValueError, match=f"rules for version {version}"):
        define(attention_v2, 1, {version: []})


@pytest.mark.parametrize(
    ("stored", "today", "rule"),
    [
        ({"w": (2,)}, {"v": (2,)}, RenameField("w", "v")),
        ({"w": (4, 2)}, {"a": (2, 2), "b": (2, 2)}, SplitTensor("w", ["a", "b"])),
        ({"a": (2, 2), "b": (2, 2)}, {"w": (4, 2)}, MergeTensors(["a", "b"], "w")),
        ({"w": (2, 3)}, {"w": (3, 2)}, TransposeTensor("w")),
        ({"l.0": (2,), "l.1": (2,)}, {"w": (2, 2)}, StackTensors("l.*", "w")),
        ({"w": (2, 2)}, {"l.0": (2,), "l.1": (2,)}, UnstackTensor("w", "l.*")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_was_left_out_may_be_missing_under_the_name_that_rules_give_it(
    stored: Any, today: Any, rule: Any, tmp_path: Path
) -> None:
    old = define(nest({**stored, "kept": (2,)}))()
    old.save_record(tmp_path / "whole.mpk")
    Checkpoints(tmp_path / "run", only="kept").save(1, model=old)
    newer = define(nest({**today, "kept": (2,)}), 1, {0: [rule]})

    net = newer()
    report = load_record(net, open_record(tmp_path / "whole.mpk", only="kept"))
    assert report.missing == [*today]
    built = newer.from_record(open_record(tmp_path / "whole.mpk", exclude=[*stored]))
    restored = newer()
    with pytest.warns(RuntimeWarning, match=f"without {len(today)} tensor"):
        Checkpoints(tmp_path / "run").restore(model=restored)

    for filled in (net, built, restored):
        assert torch.equal(filled.kept, old.kept)


def test_what_was_not_left_out_is_missed_under_the_name_that_rules_give_it(
    tmp_path: Path,
) -> None:
    old = define(nest({"w": (4, 2), "kept": (2,)}))()
    rules: Any = {0: [SplitTensor("w", ["a", "b"])]}
    today = nest({"a": (2, 2), "b": (2, 2), "c": (2, 2), "kept": (2,)})
    net = define(today, 1, rules)()
    data = old.save_record()

    with pytest.raises(RecordMismatchError, match=r"^.*: c: expected .* found nothing"):
        load_record(net, open_record(data, exclude="w"))
