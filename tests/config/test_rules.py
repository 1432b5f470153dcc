from typing import Any

import pytest

from burnish.config import (
    AddDefault,
    ChangeDefault,
    CheckValue,
    ConfigError,
    DeleteField,
    MapFieldValue,
    RejectValues,
    RenameField,
)
from burnish.config.rewriting.rewrite_rule import RewriteRule


@pytest.mark.parametrize(
    ("rule", "path", "expected"),
    [
        (RenameField("fc1", "head"), "fc1.weight", "head.weight"),
        (RenameField("fc1", "head"), "fc10.weight", "fc10.weight"),
        (RenameField("fc1", "head"), "x.fc1.weight", "x.fc1.weight"),
        (RenameField("**.fc1", "**.head"), "x.y.fc1.w", "x.y.head.w"),
        (RenameField("**.fc1", "**.head"), "fc1.w", "head.w"),
        (RenameField("l.*.attn", "blocks.*.a"), "l.3.attn.q.w", "blocks.3.a.q.w"),
        (RenameField("{q,k}_proj", "attn.{q,k}"), "q_proj.w", "attn.q.w"),
        (RenameField("a", "a.b"), "a.w", "a.b.w"),
        (DeleteField("ema"), "ema.weight", None),
        (DeleteField("**.bias"), "x.bias", None),
        (DeleteField("ema"), "emas.weight", "emas.weight"),
        (AddDefault("x", 1), "x", "x"),
        (ChangeDefault("x", 1, 2), "x", "x"),
        (MapFieldValue("x", str), "x", "x"),
    ],
)
def test_rules_map_the_paths_of_flat_entries(
    rule: Any, path: str, expected: str | None
) -> None:
    assert rule.rename(path) == expected


@pytest.mark.parametrize(
    ("old", "new", "tree", "expected"),
    [
        ("b.*", "c.*.x", {"b": [1, 2, 3]}, {"c": [{"x": 1}, {"x": 2}, {"x": 3}]}),
        ("b.*", "c.x.*", {"b": [1, 2]}, {"c": {"x": [1, 2]}}),
        ("b.*", "c.*", {"b": {"0": 1}}, {"b": {}, "c": {"0": 1}}),
        ("b.*", "b.*.x", {"b": [1, 2]}, {"b": [{"x": 1}, {"x": 2}]}),
        ("b.*", "b.*.x", {"b": (1, 2)}, {"b": ({"x": 1}, {"x": 2})}),
        ("b.*.x", "b.*", {"b": [{"x": 1}, {"x": 2}]}, {"b": [1, 2]}),
        ("b.*.x", "c.*.y", {"b": [{"x": 1}], "c": [{}]}, {"b": [{}], "c": [{"y": 1}]}),
        ("b.1", "c", {"b": [1, 2, 3]}, {"b": [1, 3], "c": 2}),
        ("**.a", "**.b", {"a": {"a": 1}}, {"b": {"a": 1}}),
        ("**.a", "**.a.b", {"a": {"a": 1}}, {"a": {"b": {"a": 1}}}),
    ],
)
def test_items_of_lists_move_each_to_its_own_place(
    old: str, new: str, tree: Any, expected: Any
) -> None:
    RenameField(old, new).apply(tree)

    assert tree == expected


@pytest.mark.parametrize("items", [[{"x": 1, "k": 2}], ({"x": 1, "k": 2},)])
def test_a_value_that_would_replace_an_item_is_refused(items: Any) -> None:
    with pytest.raises(ConfigError, match=r"b\.0.*cannot move a value into a list"):
        RenameField("b.*.x", "b.*").apply({"b": items})


@pytest.mark.parametrize(
    "rule",
    [
        RenameField(old_field=("lr",), new_field=("learning_rate",)),
        RenameField("a.*.b", "a.*.c"),
        DeleteField("x.y"),
        AddDefault("x", float("inf")),
        AddDefault("x", {"a": [float("nan"), None]}),
        ChangeDefault("x", "old", "new"),
        CheckValue("x", {"b", "a"}),
        RejectValues("x", [1, None]),
    ],
)
def test_rules_are_written_as_the_source_that_makes_them(rule: Any) -> None:
    names = {cls.__name__: cls for cls in type(rule).__mro__}

    again = eval(repr(rule), names)

    assert repr(again) == repr(rule)


def test_the_form_of_a_rule_is_fixed() -> None:
    rule = RenameField("lr", "opt.learning_rate")

    expected = "RenameField(old_field=('lr',), new_field=('opt', 'learning_rate'))"
    assert repr(rule) == expected
    mapped = MapFieldValue(("x",), lambda x: [x], rendered="lambda x: [x]")
    assert repr(mapped) == "MapFieldValue(field=('x',), map_fn=lambda x: [x])"


def test_wrong_rules_are_refused_when_made() -> None:
    with pytest.raises(ValueError, match="equally many wildcards"):
        RenameField("a.*", "b")
    with pytest.raises(ValueError, match="list of values"):
        CheckValue("x", "abc")
    with pytest.raises(ValueError, match="path"):
        DeleteField("a..b")
    with pytest.raises(ValueError, match="does not name a field"):
        DeleteField(())


def test_a_tree_that_a_rule_does_not_concern_stays_as_it_is() -> None:
    tree = {"a": [1, {"b": (1, 2)}], "c": None}

    for rule in (
        RenameField("x.y", "z"),
        DeleteField("a.b"),
        MapFieldValue("c.d", str),
    ):
        rule.apply(tree)

    assert tree == {"a": [1, {"b": (1, 2)}], "c": None}


def test_values_within_tuples_are_mapped() -> None:
    tree = {"a": (1, (2, 3))}

    MapFieldValue("a.1.0", lambda x: x * 10).apply(tree)

    assert tree == {"a": (1, (20, 3))}


@pytest.mark.parametrize(
    ("rule", "allowed", "refused"),
    [
        (RejectValues("x", [False]), 0, False),
        (RejectValues("x", [1]), True, 1.0),
        (CheckValue("x", [0, 1]), 1.0, True),
        (CheckValue("x", [True]), True, 1),
    ],
)
def test_numbers_and_flags_are_told_apart_by_rules(
    rule: RewriteRule, allowed: object, refused: object
) -> None:
    rule.apply({"x": allowed})
    with pytest.raises(ConfigError, match="no longer allowed"):
        rule.apply({"x": refused})


def test_arguments_of_a_rule_that_are_no_path_or_no_list_are_refused() -> None:
    nothing: Any = None
    with pytest.raises(TypeError, match="DeleteField: field must be a path, as"):
        DeleteField(nothing)
    with pytest.raises(TypeError, match="RenameField: new_field must be a path, as"):
        RenameField("lr", nothing)
    with pytest.raises(ValueError, match="allowed_values must be a list of values"):
        CheckValue("lr", nothing)
