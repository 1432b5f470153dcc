import copy
import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

import burnish.config
from burnish.config import (
    ConfigError,
    ConfigVersionError,
    Hparam,
    Hparams,
    RenameField,
    RewriteRule,
    Versioned,
    dumps,
    loads,
    schema_evolution_cli,
)
from burnish.config.schema import (
    SchemaChecker,
    Severity,
    assert_compatible,
    dump_schema,
    load_schema,
    schema_of,
)

INFO, WARN, ERROR = Severity.INFO, Severity.WARN, Severity.ERROR
NONE: Any = object()


class Old(enum.Enum):
    COINRUN = "CoinRun"
    STARPILOT = "StarPilot"
    MAZE = "MAZE"


class Renamed(enum.Enum):
    CR = "CoinRun"
    StarPilot = "StarPilot"
    MAZE = "MAZE"
    MINER = "Miner"


class Revalued(enum.Enum):
    COINRUN = "CoinRun"
    STARPILOT = "StarPilot"
    MAZE = "Maze"


class Fewer(enum.Enum):
    COINRUN = "CoinRun"


def struct(*fields: tuple[Any, ...], version: int = 0, rules: Any = ()) -> Any:
    """Return a versioned dataclass of fields (name, type[, default])."""
    made = [
        (name, kind, field(default_factory=partial(copy.copy, default[0])))
        if default
        else (name, kind, field())
        for name, kind, *default in fields
    ]
    methods = {
        "version": classmethod(lambda cls: version),
        "upgrade_rules": classmethod(lambda cls: dict(rules)),
    }
    return make_dataclass(
        "Config", made, bases=(Versioned,), namespace=methods, kw_only=True
    )


def check(old: Any, new: Any) -> SchemaChecker:
    return SchemaChecker(schema_of(old), new)


TABLE: list[tuple[str, Any, Any, Severity, str, Any, Any]] = [
    # name, old type, new type, severity, proposed rule, old value, new value
    ("int to float", int, float, INFO, "", 1, 1.0),
    ("to optional", int, int | None, INFO, "", 1, 1),
    ("literal to str", Literal["a"], str, INFO, "", "a", "a"),
    ("list of wider", list[int], list[float], INFO, "", [1], [1.0]),
    ("dict of wider", dict[str, int], dict[str, float], INFO, "", {"a": 1}, {"a": 1.0}),
    (
        "tuple of wider",
        tuple[int, str],
        tuple[float, str],
        INFO,
        "",
        (1, ""),
        (1.0, ""),
    ),
    ("to a union", int, int | str, INFO, "", 1, 1),
    ("to a list", int, list[int], WARN, "MapFieldValue", 1, [1]),
    ("to a literal", str, Literal["a", "b"], WARN, "CheckValue", "a", "a"),
    ("float to int", float, int, WARN, "MapFieldValue", 2.0, 2),
    ("int to str", int, str, ERROR, "", NONE, NONE),
    ("from optional", int | None, int, ERROR, "", NONE, NONE),
    ("dict to list", dict[str, int], list[int], ERROR, "", NONE, NONE),
    ("from a union", int | str, int, ERROR, "", NONE, NONE),
    ("tuple shorter", tuple[int, int], tuple[int], ERROR, "", NONE, NONE),
    ("variants added, renamed", Old, Renamed, INFO, "", Old.COINRUN, Renamed.CR),
    ("value changed", Old, Revalued, WARN, "MapFieldValue", Old.MAZE, Revalued.MAZE),
    ("variants removed", Old, Fewer, ERROR, "", NONE, NONE),
    ("literal added", Literal["a"], Literal["a", "b"], INFO, "", "a", "a"),
    (
        "literal removed",
        Literal["a", "b"],
        Literal["a"],
        WARN,
        "RejectValues",
        "a",
        "a",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "severity", "rule", "before", "after"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_each_change_of_type_has_its_severity_and_its_rule(
    old: Any, new: Any, severity: Severity, rule: str, before: Any, after: Any
) -> None:
    old_class, new_class = struct(("x", old)), struct(("x", new))

    checker = check(old_class, new_class)

    assert checker.severity() == severity
    proposed = [type(fix).__name__ for fix in checker.proposed_fixes]
    assert proposed == ([rule] if rule else [])
    if before is not NONE:
        newer = struct(("x", new), version=1, rules={0: checker.proposed_fixes})
        assert check(old_class, newer).compatible
        assert loads(newer, dumps(old_class(x=before))).x == after


def test_an_added_field_with_a_default_is_info() -> None:
    checker = check(struct(("a", int)), struct(("a", int), ("b", int, 1)))

    assert [str(c) for c in checker.changes] == ["new field with default value: b"]
    assert checker.compatible


@pytest.mark.parametrize(
    ("kind", "default"), [(int | None, None), (list[int], []), (dict[str, int], {})]
)
def test_an_added_optional_or_container_has_an_obvious_default(
    kind: Any, default: Any
) -> None:
    checker = check(struct(("a", int)), struct(("a", int), ("b", kind)))

    assert checker.severity() == WARN
    assert (
        repr(checker.proposed_fixes) == f"[AddDefault(field=('b',), default={default})]"
    )


def test_an_added_field_without_default_is_an_error() -> None:
    checker = check(struct(("a", int)), struct(("a", int), ("b", int)))

    assert checker.severity() == ERROR
    assert "write rules by hand for:\n    b" in checker.report()


def test_a_removed_field_is_deleted() -> None:
    checker = check(struct(("a", int), ("zzz", str)), struct(("a", int)))

    assert repr(checker.proposed_fixes) == "[DeleteField(field=('zzz',))]"
    assert checker.severity() == WARN


def test_a_renamed_field_needs_the_same_default() -> None:
    same = check(struct(("lr", float, 0.1)), struct(("learning_rate", float, 0.1)))
    other = check(struct(("lr", float, 0.1)), struct(("learning_rate", float, 0.2)))

    assert [type(c).__name__ for c in same.changes] == ["FieldRenamed"]
    assert [type(c).__name__ for c in other.changes] == ["FieldAdded", "FieldRemoved"]


def test_changes_of_defaults() -> None:
    changed = check(struct(("a", int, 1)), struct(("a", int, 2)))
    removed = check(struct(("a", int, 1)), struct(("a", int)))
    added = check(struct(("a", int)), struct(("a", int, 1)))

    fix = "[ChangeDefault(field=('a',), old_default=1, new_default=2)]"
    assert repr(changed.proposed_fixes) == fix
    assert repr(removed.proposed_fixes) == "[AddDefault(field=('a',), default=1)]"
    assert (changed.severity(), removed.severity()) == (WARN, WARN)
    assert added.changes == []


def test_a_renamed_variant_shows_both_names() -> None:
    report = check(struct(("x", Old)), struct(("x", Renamed))).report()

    assert "variant COINRUN of Renamed renamed to CR" in report
    assert "variant MINER of Renamed added" in report


def test_nan_is_no_changed_default() -> None:
    cls = struct(("a", float, math.nan))

    assert check(cls, cls).changes == []


def test_the_report_of_a_rename() -> None:
    old = struct(("lr", float), ("batch_size", int, 512))
    new = struct(("learning_rate", float), ("batch_size", int, 512))

    assert (
        check(old, new).report()
        == """\
warn  field renamed to learning_rate: lr
warn  schema changed but version identical
Schema incompatible

Proposed mitigations
- add upgrade rules:
    0: [
        RenameField(old_field=('lr',), new_field=('learning_rate',)),
    ],
- bump version to 1"""
    )


OLD = struct(("lr", float), ("batch_size", int, 512))
UNFIXED = struct(("learning_rate", float), ("batch_size", int, 512))
FIXED = struct(
    ("learning_rate", float),
    ("batch_size", int, 512),
    version=1,
    rules={0: [RenameField("lr", "learning_rate")]},
)


def cli(cls: Any, *words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        schema_evolution_cli(cls, [str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_checking_and_upgrading_before_and_after_the_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config-schema.ron"
    assert cli(OLD, "dump-schema", file) == 0
    stored = file.read_bytes()

    assert cli(UNFIXED, "check-schema", file) == 1
    assert cli(UNFIXED, "upgrade-schema", file) == 1
    assert file.read_bytes() == stored
    assert "Schema incompatible" in capsys.readouterr().out
    assert cli(FIXED, "check-schema", file) == 0
    assert cli(FIXED, "upgrade-schema", file) == 0
    assert capsys.readouterr().out == "Schema compatible\nSchema updated\n"
    assert load_schema(file) == schema_of(FIXED)


def test_no_command_is_usage_with_status_two(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli(OLD) == 2
    assert "upgrade-config" in capsys.readouterr().err


def test_a_missing_or_foreign_schema_file_is_an_error_not_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.ron"
    for text in (
        "(a: 1)",
        'Struct(name: "x", fields: {"a": 1})',
        "Struct(nam: 1)",
        "[",
    ):
        file.write_text(text)
        assert cli(OLD, "check-schema", file) == 2
    assert cli(OLD, "check-schema", tmp_path / "none.ron") == 2
    assert cli(OLD, "dump-schema", tmp_path / "s.json") == 2
    assert capsys.readouterr().err.count("error: ") == 6


@dataclass
class Leaf:
    lr: float = 0.1
    sizes: list[int] = field(default_factory=lambda: [1])


class Everything(Hparams):
    a: dict[str, int] = Hparam(default_factory=dict)
    b: tuple[float, str] = (1.0, "x")
    c: int | list[float] | None = None
    d: Literal["x", 5] = "x"
    e: Old = Old.MAZE
    leaf: Leaf = Leaf()
    leaves: list[Leaf] = Hparam(default_factory=lambda: [Leaf(2.0)])
    by_name: dict[str, Leaf] = Hparam(default_factory=dict)
    either: Leaf | Literal["none"] = "none"
    tree: "Everything | None" = None
    path: Path = Path("x")
    any: Any = None
    t: tuple[int, ...] = ()


def test_a_dumped_schema_is_compatible_with_its_class(tmp_path: Path) -> None:
    file = tmp_path / "s.ron"

    dump_schema(Everything, file)

    assert load_schema(file) == schema_of(Everything)
    checker = SchemaChecker(load_schema(file), Everything)
    assert (checker.changes, checker.compatible) == ([], True)


def test_old_configs_are_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.ron"
    file.write_text("Config(lr: 0.1, batch_size: 5)")
    other = tmp_path / "b.ron"
    other.write_text('(lr: "step: 1@0 0@9")')
    before = file.read_bytes()

    assert cli(FIXED, "upgrade-config", file, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "-Config(lr: 0.1, batch_size: 5)" in shown
    assert "+    learning_rate: 0.1," in shown
    assert file.read_bytes() == before

    assert cli(FIXED, "upgrade-config", file, other) == 0
    assert capsys.readouterr().out == f"{file}\n{other}\n"
    text = "Config(\n    version: 1,\n    learning_rate: 0.1,\n    batch_size: 5,\n)\n"
    assert file.read_text() == text
    assert '"step: 1@0 0@9"' in other.read_text()
    assert "batch_size" not in other.read_text()
    assert cli(FIXED, "upgrade-config", other, "--include-defaults") == 0
    assert "batch_size: 512" in other.read_text()


def test_a_bad_file_does_not_keep_the_others_from_being_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = tmp_path / "bad.ron", tmp_path / "good.json"
    bad.write_text("(zz: 1)")
    good.write_text('{"lr": 1}')

    assert cli(FIXED, "upgrade-config", bad, good) == 1

    assert "learning_rate" in good.read_text()
    assert bad.read_text() == "(zz: 1)"
    assert f"error: {bad}" in capsys.readouterr().err


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


Rules = Mapping[int, Sequence[RewriteRule]]


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


def test_a_class_without_a_version_is_told_to_get_one() -> None:
    @dataclass
    class Before:
        lr: float

    @dataclass
    class After:
        learning_rate: float

    report = SchemaChecker(schema_of(Before), After).report()

    assert "derive After from burnish.config.Versioned" in report


def test_a_newer_schema_is_refused() -> None:
    with pytest.raises(ConfigVersionError, match=r"version 1.*at 0"):
        check(FIXED, OLD)


def test_the_helper_for_ones_own_tests(tmp_path: Path) -> None:
    file = tmp_path / "config-schema.ron"
    dump_schema(OLD, file)

    assert_compatible(file, FIXED)
    with pytest.raises(AssertionError, match="field renamed to learning_rate"):
        assert_compatible(file, UNFIXED)


def test_foreign_files_are_refused_as_schemas(tmp_path: Path) -> None:
    file = tmp_path / "s.ron"
    file.write_text('Field(name: "x", type: Primitive(type: "int"))')

    with pytest.raises(ConfigError, match="not a schema"):
        load_schema(file)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('Struct(name: "x", fields: [])', r"Struct has \[\] as its fields"),
        ('Struct(name: "x", fields: {"a": 1})', "as its fields"),
        ("Struct(name: 3, fields: {})", "3 as its name"),
        ('Struct(name: "x", fields: {}, version: "1")', "'1' as its version"),
        ('Struct(name: "x", fields: {"a": Field(name: "a", type: 3)})', "as its type"),
        ("Struct(fields: {})", "name"),
        (
            'Struct(name: "x", fields: {None: Field(name: "a", type: Ref(name: ""))})',
            "as its fields",
        ),
        ("Blob(x: 1)", "unknown kind 'Blob'"),
    ],
)
def test_an_edited_schema_that_makes_no_sense_is_told(
    tmp_path: Path, text: str, why: str
) -> None:
    file = tmp_path / "s.ron"
    file.write_text(text)

    with pytest.raises(ConfigError, match=why) as told:
        load_schema(file)

    assert str(file) in str(told.value)


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


def test_a_rule_of_ones_own_moves_the_fields_of_a_schema() -> None:
    class Shorter(RewriteRule):
        def rename(self, path: str) -> str | None:
            return None if path == "gone" else path.replace("learning_", "")

        def apply(self, tree: Any) -> None:
            for name in list(tree):
                value, new = tree.pop(name), self.rename(name)
                if new is not None:
                    tree[new] = value

    @dataclass
    class Before:
        learning_rate: float = 0.1
        gone: int = 1

    @dataclass
    class After(Versioned):
        rate: float = 0.1

        @classmethod
        def version(cls) -> int:
            return 1

        @classmethod
        def upgrade_rules(cls) -> Any:
            return {0: [Shorter()]}

    assert SchemaChecker(schema_of(Before), After).changes == []
