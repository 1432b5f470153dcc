"""Changes of a module that break its records are found, and bridged."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.config import RenameField
from burnish.core import load_record, module
from burnish.core.errors import HyperparameterError
from burnish.core.evolution.record_check import (
    RecordChecker,
    assert_records_load,
    upgrade_file,
)
from burnish.core.evolution.record_schema import dump_schema, load_schema, schema_of
from burnish.records import RecordError, open_record
from burnish.train import Checkpoints

from .versions import define, nest

CHANGES: list[tuple[str, Any, Any, list[str], list[str]]] = [
    (
        "a rename",
        {"fc1.weight": (3, 3), "fc1.bias": (3,)},
        {"head.weight": (3, 3), "head.bias": (3,)},
        ["warn  renamed to head: fc1"],
        ["RenameField(old_field=('fc1',), new_field=('head',))"],
    ),
    (
        "a rename in every layer",
        {f"h.{i}.fc.weight": (3, 3) for i in range(12)},
        {f"h.{i}.lin.weight": (3, 3) for i in range(12)},
        ["warn  renamed to h.*.lin: h.*.fc"],
        ["RenameField(old_field=('h', '*', 'fc'), new_field=('h', '*', 'lin'))"],
    ),
    (
        "a move",
        {"h.0.w": (3,), "h.1.w": (4,)},
        {"body.h.0.w": (3,), "body.h.1.w": (4,)},
        ["warn  renamed to body.h: h"],
        ["RenameField(old_field=('h',), new_field=('body', 'h'))"],
    ),
    (
        "a fusion",
        {f"h.{i}.{n}.weight": (4, 4) for i in range(2) for n in "qkv"},
        {f"h.{i}.qkv.weight": (12, 4) for i in range(2)},
        ["warn  fused into h.*.qkv.weight: h.*.q.weight, h.*.k.weight, h.*.v.weight"],
        [
            "MergeTensors(fields=['h.*.q.weight', 'h.*.k.weight', 'h.*.v.weight'], "
            "into='h.*.qkv.weight', dim=0)"
        ],
    ),
    (
        "a split",
        {"qkv.weight": (12, 4), "qkv.bias": (12,)},
        {
            f"{n}.{leaf}": (4, 4)[:d]
            for n in "qkv"
            for leaf, d in [("weight", 2), ("bias", 1)]
        },
        ["warn  split into q.weight, k.weight, v.weight: qkv.weight"],
        [
            "SplitTensor(field='qkv.weight', into=['q.weight', 'k.weight', "
            "'v.weight'], dim=0, sizes=None)"
        ],
    ),
    (
        "a transpose",
        {"c.weight": (2, 5)},
        {"c.weight": (5, 2)},
        ["warn  shape changed from (2, 5) to (5, 2): c.weight"],
        ["TransposeTensor(field='c.weight', dims=(0, 1))"],
    ),
    (
        "a stack",
        {f"h.{i}.w": (2, 3) for i in range(4)},
        {"h_w": (4, 2, 3)},
        ["warn  stacked into h_w: h.*.w"],
        ["StackTensors(fields='h.*.w', into='h_w', dim=0)"],
    ),
    (
        "a removal and an addition",
        {"a": (2,), "b": (3, 3)},
        {"a": (2,), "c": (5,)},
        ["warn  tensor removed: b", "error new tensor, which older records lack"],
        ["DeleteField(field=('b',))"],
    ),
    (
        "another shape",
        {"a": (2, 3)},
        {"a": (2, 4)},
        ["error shape changed from (2, 3) to (2, 4): a"],
        [],
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "lines", "rules"),
    [c[1:] for c in CHANGES],
    ids=[c[0] for c in CHANGES],
)
def test_a_refactor_that_breaks_records_is_found_and_bridged(
    tmp_path: Path, old: Any, new: Any, lines: list[str], rules: list[str]
) -> None:
    file = tmp_path / "schema.json"
    before = define(nest(old))
    dump_schema(before, file)

    checker = RecordChecker(load_schema(file), define(nest(new)))

    report = checker.report()
    assert not checker.compatible
    assert all(line in report for line in lines), report
    assert all(rule in report for rule in rules), report
    assert "bump version to 1" in report
    if "error" not in report:
        after = define(nest(new), 1, {0: checker.proposed_rules})
        assert RecordChecker(load_schema(file), after).compatible
        after.from_record(before().save_record())
    with pytest.raises(AssertionError, match="Records incompatible"):
        assert_records_load(file, define(nest(new)))


def test_another_float_type_is_no_break(tmp_path: Path) -> None:
    def make(self: Any) -> None:
        self.lin = nn.Linear(2, 2)

    def half(self: Any) -> None:
        self.lin = nn.Linear(2, 2, dtype=torch.float16)

    dump_schema(define(make), tmp_path / "schema.json")

    checker = RecordChecker(load_schema(tmp_path / "schema.json"), define(half))

    assert checker.compatible
    assert "info  dtype changed from float32 to float16: lin.weight" in checker.report()


def test_a_module_with_arguments_is_checked_with_its_hyperparameters(
    tmp_path: Path,
) -> None:
    class Wide(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.lin = nn.Linear(width, 1)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.lin(x)
            return y

    cls: Any = module(Wide)

    dump_schema(cls, tmp_path / "schema.json", {"width": 5})

    assert load_schema(tmp_path / "schema.json").tensors["lin.weight"].shape == (1, 5)
    assert schema_of(lambda: cls(3)).tensors["lin.weight"].shape == (1, 3)
    with pytest.raises(HyperparameterError, match=r"width: .*Wide needs"):
        schema_of(cls)


def tied(*names: str, ties: str = "") -> Any:
    """Return what makes layers of one letter each; in ``ba`` b has the weight of a."""

    def make(self: Any) -> None:
        for name in names:
            setattr(self, name, nn.Linear(2, 2, bias=False))
        for name, owner in map(list, ties.split()):
            getattr(self, name).weight = getattr(self, owner).weight

    return make


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            tied("a", "b", ties="ba"),
            tied("a", "b"),
            "b.weight is no longer tied to a.weight",
        ),
        (tied("a", "b"), tied("a", "b", ties="ba"), "b.weight is now tied to a.weight"),
        (tied("a", "b", ties="ba"), tied("b", "a", ties="ab"), ""),
        (tied("b"), tied("a", "b", ties="ba"), ""),
        (tied("a", "b", ties="ba"), tied("b"), "a.weight tensor removed"),
        (tied("a", "b", ties="ba"), tied("a"), ""),
        (
            tied("a", "b", "c", ties="ba"),
            tied("a", "b", "c", ties="ca"),
            "c.weight is now tied to a.weight",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*stored as one parameter")
def test_what_is_said_of_ties_is_what_a_load_does(
    old: Any, new: Any, said: str
) -> None:
    record = define(old)().save_record()
    checker = RecordChecker(schema_of(define(old)), define(new))
    rules = {0: checker.proposed_rules}

    cls = define(new) if checker.compatible else define(new, 1, rules)
    report = load_record(cls(), record)

    changes = [f"{change.path} {change.said}" for change in checker.changes]
    assert said in "; ".join(changes)
    assert bool(changes) == bool(said)
    assert not report.missing


def test_a_part_of_a_checkpoint_is_not_rewritten_in_its_place(tmp_path: Path) -> None:
    old = define(nest({"a.w": (2,)}))()
    new_class = define(nest({"b.w": (2,)}), 1, {0: [RenameField("a", "b")]})
    file = Checkpoints(tmp_path).save(1, model=old).file("model")

    with pytest.raises(
        RecordError, match=r"part of a checkpoint, and checkpoint\.json"
    ):
        upgrade_file(file, new_class)
    assert upgrade_file(file, new_class, output=tmp_path / "newer.mpk")

    new = new_class()
    assert Checkpoints(tmp_path).restore(model=new) == 1
    assert torch.equal(new.b.w, old.a.w)
    assert list(open_record(tmp_path / "newer.mpk")) == ["b.w"]
