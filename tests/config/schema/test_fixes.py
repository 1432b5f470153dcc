"""Proposed rules make old files load."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

import burnish.config
from burnish.config import (
    RenameField,
    Versioned,
    dumps,
    loads,
)
from burnish.config.schema import (
    SchemaChecker,
    schema_of,
)

from .versions import Old, Revalued, check, struct


@dataclass
class OptimizerPart:
    lr: float
    batch_size: int
    optimizer: Literal["adam", "sgd"] = "adam"


@dataclass
class Task:
    kind: Old = Old.COINRUN
    difficulty: int = 1


@dataclass
class LaterTask:
    kind: Revalued = Revalued.COINRUN
    difficulty: int = 1


V1 = struct(("steps", int), ("learning_rate", float), ("batch_size", int))


V2 = struct(
    ("steps", int),
    ("learning_rate", float),
    ("batch_size", int),
    ("optimizer", str, "sgd"),
    ("note", str | None),
)


V3 = struct(
    ("steps", int),
    ("lr", float),
    ("batch_size", int),
    ("optimizer", Literal["adam", "sgd"], "adam"),
)


V4 = struct(("steps", int), ("optimizer", OptimizerPart), ("task", Task))


V5 = struct(("steps", float), ("optimizer", OptimizerPart), ("task", LaterTask))


CASES = [
    (V1, V2, {"steps": 1, "learning_rate": 0.1, "batch_size": 2}),
    (V2, V3, {"steps": 1, "learning_rate": 0.1, "batch_size": 2, "note": "x"}),
    (V3, V4, {"steps": 1, "lr": 0.1, "batch_size": 2, "optimizer": "sgd"}),
    (V4, V3, {"steps": 1, "optimizer": OptimizerPart(0.1, 2), "task": Task()}),
    (V4, V5, {"steps": 1, "optimizer": OptimizerPart(0.1, 2), "task": Task(Old.MAZE)}),
]


@pytest.mark.parametrize(("old", "new", "values"), CASES)
@pytest.mark.parametrize("elide", [False, True])
def test_proposed_rules_pasted_back_make_old_files_load(
    old: Any, new: Any, values: dict[str, Any], elide: bool
) -> None:
    proposed = check(old, new).proposed_fixes

    pasted = eval(repr(proposed), vars(burnish.config) | names_of_rules())
    newer = new_version(new, {0: pasted})

    text = dumps(old(**values), elide_defaults=elide)
    loaded = loads(newer, text)
    assert check(old, newer).compatible
    assert loaded.steps == 1
    assert dumps(loads(newer, dumps(loaded))) == dumps(loaded)


def new_version(cls: Any, rules: Any) -> Any:
    """Return ``cls`` at version 1, with rules that lead there."""

    class Newer(cls):  # type: ignore[misc]  # of any class
        @classmethod
        def version(cls) -> int:
            return 1

        @classmethod
        def upgrade_rules(cls) -> Any:
            return rules

    return Newer


def names_of_rules() -> dict[str, Any]:
    return {name: getattr(burnish.config, name) for name in burnish.config.__all__}


def test_old_values_and_old_defaults_arrive() -> None:
    v3 = new_version(V3, {0: check(V2, V3).proposed_fixes})

    loaded = loads(v3, "(steps: 1, learning_rate: 0.5, batch_size: 2)")

    assert (loaded.lr, loaded.optimizer) == (0.5, "sgd")


def test_moves_into_a_struct_of_the_same_name_and_back() -> None:
    moves = [
        "FieldRenamed",
        "FieldRenamed",
        "FieldRenamed",
    ]
    into, out = check(V3, V4), check(V4, V3)

    assert [
        type(c).__name__ for c in into.changes if "Ren" in type(c).__name__
    ] == moves
    assert [type(c).__name__ for c in out.changes if "Ren" in type(c).__name__] == moves


def test_changes_within_lists_dicts_and_unions_are_found_and_fixed() -> None:
    @dataclass
    class NewLeaf:
        learning_rate: float = 0.1

    @dataclass
    class OldLeaf:
        lr: float = 0.1

    old = struct(
        ("xs", list[OldLeaf]), ("d", dict[str, OldLeaf]), ("o", OldLeaf | None)
    )
    new = struct(
        ("xs", list[NewLeaf]), ("d", dict[str, NewLeaf]), ("o", NewLeaf | None)
    )
    rules = check(old, new).proposed_fixes
    newer = new_version(new, {0: rules})

    loaded = loads(
        newer, dumps(old(xs=[OldLeaf(1)], d={"a": OldLeaf(2)}, o=OldLeaf(3)))
    )

    assert check(old, newer).compatible
    assert (loaded.xs, loaded.d, loaded.o) == (
        [NewLeaf(1.0)],
        {"a": NewLeaf(2.0)},
        NewLeaf(3.0),
    )


def test_a_versioned_struct_within_gets_rules_of_its_own() -> None:
    old_inner = struct(("lr", float))
    new_inner = struct(("learning_rate", float))
    old, new = struct(("inner", old_inner)), struct(("inner", new_inner))
    fixed_inner = struct(
        ("learning_rate", float),
        version=1,
        rules={0: [RenameField("lr", "learning_rate")]},
    )

    report = check(old, new).report()

    assert "- add upgrade rules to Config:" in report
    assert "- bump version of Config to 1" in report
    assert check(old, struct(("inner", fixed_inner))).compatible


def test_proposed_rules_keep_old_defaults_of_a_struct_and_of_its_fields() -> None:
    @dataclass
    class OldOpt:
        lr: float = 0.1
        decay: float = 1.0

    @dataclass
    class OldRun:
        opt: OldOpt = field(default_factory=lambda: OldOpt(0.5, 1.0))

    @dataclass
    class Opt:
        lr: float = 0.2
        decay: float = 1.0

    Opt.__name__ = "OldOpt"
    fixes: list[Any] = []

    @dataclass
    class Run(Versioned):
        opt: Opt = field(default_factory=lambda: Opt(7.0, 8.0))

        @classmethod
        def version(cls) -> int:
            return 1

        @classmethod
        def upgrade_rules(cls) -> Any:
            return {0: fixes}

    fixes += SchemaChecker(schema_of(OldRun), Run).proposed_fixes

    assert len(fixes) >= 2
    assert loads(Run, "{}", format="json") == Run(Opt(0.5, 1.0))
    assert loads(Run, '{"opt": {}}', format="json") == Run(Opt(0.1, 1.0))
