"""Renames are recognized."""

from typing import Any

import pytest

from burnish.config import dumps, loads

from .test_fixes import new_version
from .versions import Old, Renamed, check, struct


def test_a_renamed_field_needs_the_same_default() -> None:
    same = check(struct(("lr", float, 0.1)), struct(("learning_rate", float, 0.1)))
    other = check(struct(("lr", float, 0.1)), struct(("learning_rate", float, 0.2)))

    assert [type(c).__name__ for c in same.changes] == ["FieldRenamed"]
    assert [type(c).__name__ for c in other.changes] == ["FieldAdded", "FieldRemoved"]


def test_a_renamed_variant_shows_both_names() -> None:
    report = check(struct(("x", Old)), struct(("x", Renamed))).report()

    assert "variant COINRUN of Renamed renamed to CR" in report
    assert "variant MINER of Renamed added" in report


def test_a_field_of_the_same_type_and_default_is_a_rename_whatever_its_name() -> None:
    checker = check(
        struct(("lr", float, 0.1), ("steps", int, 5)),
        struct(("rate", float, 0.1), ("steps", int, 5)),
    )

    assert [str(c) for c in checker.changes] == ["field renamed to rate: lr"]


@pytest.mark.parametrize(
    ("removed", "added"),
    [
        ([("debug", bool, False)], [("jit", bool, False)]),
        ([("note", str | None, None)], [("tag", str | None, None)]),
        ([("lr", float)], [("ratio", float)]),
        ([("lr", float, 0.1)], [("ma", float, 0.1), ("na", float, 0.1)]),
    ],
)
def test_a_default_that_many_fields_have_makes_no_rename(
    removed: list[Any], added: list[Any]
) -> None:
    changes = check(struct(*removed), struct(*added)).changes

    assert "FieldRenamed" not in [type(c).__name__ for c in changes]


@pytest.mark.parametrize(
    ("old_fields", "new_fields", "text", "expected"),
    [
        (
            [("x", int, 1), ("y", str, "s")],
            [("x", str, "s"), ("y", int, 1)],
            '(x: 5, y: "t")',
            {"x": "t", "y": 5},
        ),
        (
            [("x", int), ("y", str)],
            [("x", str), ("y", int)],
            '(x: 5, y: "t")',
            {"x": "t", "y": 5},
        ),
        (
            [("x", int, 1), ("y", str, "s")],
            [("y", int, 1), ("z", str, "s")],
            '(x: 5, y: "t")',
            {"y": 5, "z": "t"},
        ),
        (
            [("x", int), ("y", str), ("z", dict[str, int])],
            [("x", dict[str, int]), ("y", int), ("z", str)],
            '(x: 5, y: "t", z: {"a": 7})',
            {"x": {"a": 7}, "y": 5, "z": "t"},
        ),
    ],
    ids=["a swap", "a swap without defaults", "a chain", "a circle of three"],
)
def test_fields_that_take_each_other_s_names_get_rules_in_an_order_that_works(
    old_fields: list[Any], new_fields: list[Any], text: str, expected: dict[str, Any]
) -> None:
    old, new = struct(*old_fields), struct(*new_fields)

    newer = new_version(new, {0: check(old, new).proposed_fixes})

    assert vars(loads(newer, text)) == expected
    assert vars(loads(newer, dumps(loads(old, text)))) == expected
    assert check(old, newer).compatible


def test_fields_of_one_type_are_taken_for_what_files_call_them() -> None:
    checker = check(
        struct(("lr", float, 0.1), ("decay", float, 0.9)),
        struct(("lr", float, 0.9), ("decay", float, 0.1)),
    )

    kinds = [type(c).__name__ for c in checker.changes]
    assert kinds == ["DefaultValueChanged", "DefaultValueChanged"]
