"""What every rewrite rule answers for: trees, schemas, flat entries and names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from burnish.config import (
    ConfigError,
    DeleteField,
    Hparams,
    MapFieldValue,
    RenameField,
    Versioned,
    load,
    loads,
)
from burnish.config.rewriting import schema_types as t
from burnish.config.rewriting.rewrite_rule import RewriteRule, check_rules
from burnish.config.schema import SchemaChecker
from burnish.config.schema.upgrade import upgrade_schema


def derive(entry: int, function: Callable[[Any], Any]) -> int:
    result: int = function(entry)
    return result


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (RenameField("a", "c"), {"c.w": 1, "c.b": 2, "other": 3}),
        (DeleteField("a.b"), {"a.w": 1, "other": 3}),
        (MapFieldValue("a.*", lambda x: 10 * x), {"a.w": 10, "a.b": 20, "other": 3}),
        (RewriteRule(), {"a.w": 1, "a.b": 2, "other": 3}),
    ],
)
def test_a_rule_answers_for_flat_entries(
    rule: RewriteRule, expected: dict[str, int]
) -> None:
    entries = {"a.w": 1, "a.b": 2, "other": 3}

    assert rule.apply_to_entries(entries, derive) == expected
    assert entries == {"a.w": 1, "a.b": 2, "other": 3}


def test_two_entries_that_would_have_one_path_are_refused_with_it() -> None:
    with pytest.raises(ConfigError, match=r"two entries would be named b\.w"):
        RenameField("a", "b").apply_to_entries({"a.w": 1, "b.w": 2}, derive)


def test_a_rule_that_gives_no_path_is_refused() -> None:
    class Nameless(RewriteRule):
        def rename(self, path: str) -> str:
            return ""

    with pytest.raises(ConfigError, match="a would be named '', not a valid path"):
        Nameless().apply_to_entries({"a": 1}, derive)


def test_the_new_names_of_a_users_rule_hold_for_schemas_too() -> None:
    class Upper(RewriteRule):
        def rename(self, path: str) -> str | None:
            return None if path == "b" else path.replace("a", "opt.a")

    schema = t.Struct("C", {name: t.Field(name, t.Primitive("int")) for name in "ab"})

    Upper().apply_to_schema(schema)

    below = schema.fields["opt"].type
    assert list(schema.fields) == ["opt"]
    assert isinstance(below, t.Struct)
    assert list(below.fields) == ["a"]


def test_a_rule_of_a_users_own_needs_no_more_than_apply_and_rename() -> None:
    class Prefixed:
        """No RewriteRule at all: the base answers for schemas."""

        def apply(self, tree: dict[str, Any]) -> None:
            tree["new"] = tree.pop("old")

        def rename(self, path: str) -> str:
            return "new" if path == "old" else path

    @dataclass
    class Config(Versioned):
        new: int

        @classmethod
        def version(cls) -> int:
            return 1

        @classmethod
        def upgrade_rules(cls) -> Any:
            return {0: [Prefixed()]}

    before = t.Struct("Config", {"old": t.Field("old", t.Primitive("int"))}, version=0)

    assert loads(Config, "Config(old: 3)").new == 3
    assert list(upgrade_schema(Config, before).fields) == ["new"]
    assert SchemaChecker(before, Config).compatible


class Second:
    """Stands for a class at version 2."""


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ([RenameField("a", "b")], TypeError, "must be a dict from each older"),
        ({2: []}, ValueError, "rules for version 2, but the class is at version 2"),
        ({0: RenameField("a", "b")}, TypeError, "must be a list of rules"),
        ({0: [RenameField]}, TypeError, "which is not a rule"),
        ({0: ["a -> b"]}, TypeError, "which is not a rule"),
    ],
)
def test_what_is_no_rule_to_a_version_is_refused(
    rules: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_rules(Second, 2, rules)


def test_a_config_whose_rules_are_none_says_so_when_it_reads_an_older_file() -> None:
    class Config(Hparams, Versioned):
        a: int = 1

        @classmethod
        def version(cls) -> int:
            return 1

        @classmethod
        def upgrade_rules(cls) -> Any:
            return {0: RenameField("b", "a")}

    with pytest.raises(TypeError, match=r"Config: upgrade_rules\[0\] must be a list"):
        load(Config, {"b": 2})
