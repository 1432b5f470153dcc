"""Renames are recognized."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from burnish.config import RenameField, dumps, loads
from burnish.config.schema import Severity

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
        (
            [("x", int), ("y", list[int])],
            [("x", list[int]), ("y", int)],
            "(x: 5, y: [1, 2])",
            {"x": [1, 2], "y": 5},
        ),
        (
            [("x", int, 3), ("y", float, 0.5)],
            [("x", float, 0.5), ("y", int, 3)],
            "(x: 5, y: 1.5)",
            {"x": 1.5, "y": 5},
        ),
        (
            [("x", int, 1), ("y", list[int], [])],
            [("x", list[int], [2]), ("y", int, 3)],
            "(x: 5)",
            {"x": [], "y": 5},
        ),
        (
            [("x", list[int], [1]), ("y", int, 5)],
            [("y", list[int], [1]), ("z", int, 5)],
            "(x: [3], y: 7)",
            {"y": [3], "z": 7},
        ),
        (
            [("x", int), ("y", float), ("z", str)],
            [("x", str), ("y", int), ("z", float)],
            '(x: 5, y: 1.5, z: "t")',
            {"x": "t", "y": 5, "z": 1.5},
        ),
        (
            [("x", int), ("y", str), ("x_before", int)],
            [("x", str), ("y", int), ("x_before", int)],
            '(x: 5, y: "t", x_before: 4)',
            {"x": "t", "y": 5, "x_before": 4},
        ),
    ],
    ids=[
        "a swap",
        "a swap without defaults",
        "a chain",
        "a circle of three",
        "a number and a list",
        "numbers of two types, told by their defaults",
        "a swap with new defaults",
        "a chain in which a number could become a list",
        "a circle in which some types are alike",
        "a swap beside the name that would be used in between",
    ],
)
def test_fields_that_take_each_other_s_names_get_rules_in_an_order_that_works(
    old_fields: list[Any], new_fields: list[Any], text: str, expected: dict[str, Any]
) -> None:
    old, new = struct(*old_fields), struct(*new_fields)

    newer = new_version(new, {0: check(old, new).proposed_fixes})

    assert vars(loads(newer, text)) == expected
    assert vars(loads(newer, dumps(loads(old, text)))) == expected
    assert check(old, newer).compatible


@pytest.mark.parametrize(
    ("old_fields", "new_fields"),
    [
        ([("x", int), ("y", float)], [("x", float), ("y", int)]),
        ([("x", int | None), ("y", int)], [("x", int), ("y", int | None)]),
        (
            [("x", str), ("y", Literal["a", "b"])],
            [("x", Literal["a", "b"]), ("y", str)],
        ),
        ([("w", float), ("x", int)], [("x", float), ("y", int)]),
    ],
    ids=["numbers", "one may be None", "texts", "a chain"],
)
def test_types_alike_that_changed_places_are_in_doubt_and_the_report_says_why(
    old_fields: list[Any], new_fields: list[Any]
) -> None:
    checker = check(struct(*old_fields), struct(*new_fields))

    assert checker.severity() == Severity.ERROR
    assert not any(isinstance(r, RenameField) for r in checker.proposed_fixes)
    assert "if the names were swapped, use RenameField('x', 'y')" in (checker.report())


@dataclass
class Encoder:
    width: int = 1


@dataclass
class Decoder:
    depth: str = "deep"


def test_structs_that_take_each_other_s_names_are_moved_whole() -> None:
    old = struct(("a", Encoder), ("b", Decoder))
    new = struct(("a", Decoder), ("b", Encoder))

    newer = new_version(new, {0: check(old, new).proposed_fixes})
    loaded = loads(newer, '(a: (width: 5), b: (depth: "flat"))')

    assert (loaded.a, loaded.b) == (Decoder("flat"), Encoder(5))
    assert check(old, newer).compatible


def test_a_default_that_changed_beside_a_swap_keeps_its_old_meaning() -> None:
    old = struct(("a", int, 1), ("b", str, "s"), ("lr", float, 0.1))
    new = struct(("a", str, "s"), ("b", int, 1), ("lr", float, 0.2))

    newer = new_version(new, {0: check(old, new).proposed_fixes})
    loaded = loads(newer, "(a: 7)")

    assert (loaded.a, loaded.b, loaded.lr) == ("s", 7, 0.1)
    assert check(old, newer).compatible


def test_fields_of_one_type_are_taken_for_what_files_call_them() -> None:
    checker = check(
        struct(("lr", float, 0.1), ("decay", float, 0.9)),
        struct(("lr", float, 0.9), ("decay", float, 0.1)),
    )

    kinds = [type(c).__name__ for c in checker.changes]
    assert kinds == ["DefaultValueChanged", "DefaultValueChanged"]
