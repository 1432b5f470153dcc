"""Every change has its severity and its rule."""

import enum
import math
from typing import Any, Literal

import pytest

from burnish.config import (
    dumps,
    loads,
)
from burnish.config.schema import (
    Severity,
)

from .versions import Old, Renamed, Revalued, check, struct

INFO, WARN, ERROR = Severity.INFO, Severity.WARN, Severity.ERROR


NONE: Any = object()


class Fewer(enum.Enum):
    COINRUN = "CoinRun"


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


def test_changes_of_defaults() -> None:
    changed = check(struct(("a", int, 1)), struct(("a", int, 2)))
    removed = check(struct(("a", int, 1)), struct(("a", int)))
    added = check(struct(("a", int)), struct(("a", int, 1)))

    fix = "[ChangeDefault(field=('a',), old_default=1, new_default=2)]"
    assert repr(changed.proposed_fixes) == fix
    assert repr(removed.proposed_fixes) == "[AddDefault(field=('a',), default=1)]"
    assert (changed.severity(), removed.severity()) == (WARN, WARN)
    assert added.changes == []


def test_nan_is_no_changed_default() -> None:
    cls = struct(("a", float, math.nan))

    assert check(cls, cls).changes == []
