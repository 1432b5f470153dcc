"""Fields that swap names, or get others, and what is proposed for the files of before.

Whatever is drawn, each value arrives where it belongs, or the report says of its field
that somebody has to look.
"""

from dataclasses import dataclass, field, make_dataclass
from functools import partial
from typing import Any, Literal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from burnish.config import CheckValue, ConfigError, dumps, loads
from burnish.config.schema import Severity
from burnish.config.schema.change import FieldRemoved, Harmless, NameInDoubt

from .test_fixes import new_version
from .versions import check, struct

KINDS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-9, 9),
    float: st.floats(-9, 9).map(lambda x: round(x, 3)),
    str: st.sampled_from(["", "a", "some text"]),
    bool: st.booleans(),
    list[int]: st.lists(st.integers(0, 9), max_size=3),
    list[str]: st.lists(st.sampled_from("ab"), max_size=3),
    dict[str, int]: st.dictionaries(st.sampled_from("ab"), st.integers(0, 9)),
    int | None: st.none() | st.integers(-9, 9),
    Literal["adam", "sgd"]: st.sampled_from(["adam", "sgd"]),
}
OLD_NAMES = ["lr", "steps", "note", "depth", "items"]
NEW_NAMES = [*OLD_NAMES, "rate", "count", "width", "alpha"]
WHERE = ["top", "nested", "list"]


@dataclass
class Moves:
    """Fields as they were, what each is called now, and where they stand."""

    fields: list[tuple[Any, ...]]
    names: dict[str, str]
    values: dict[str, Any]
    where: str

    def classes(self) -> tuple[Any, Any, Any]:
        """Return the old class, the new one, and an old object."""
        renamed = [(self.names[name], *rest) for name, *rest in self.fields]
        inner = [_dataclass(fields) for fields in (self.fields, renamed)]
        old, new = (
            struct(("seed", int, 0), *fields) for fields in (self.fields, renamed)
        )
        value = old(**self.values)
        if self.where != "top":
            kinds: list[Any] = inner
            if self.where == "list":
                kinds = [list.__class_getitem__(cls) for cls in inner]
            old, new = (struct(("seed", int, 0), ("part", kind)) for kind in kinds)
            part = inner[0](**self.values)
            value = old(part=part if self.where == "nested" else [part])
        return old, new, value

    def values_in(self, config: Any) -> dict[str, Any]:
        """Return the values of a new object by the old names."""
        part = config if self.where == "top" else config.part
        part = part[0] if self.where == "list" else part
        return {name: getattr(part, self.names[name]) for name, *_ in self.fields}


def _dataclass(fields: list[tuple[Any, ...]]) -> Any:
    return make_dataclass(
        "Part",
        [
            (name, kind, field(default_factory=partial(_same, *rest)))
            if rest
            else (name, kind)
            for name, kind, *rest in fields
        ],
        kw_only=True,
    )


def _same(value: Any) -> Any:
    return value


@st.composite
def moves(draw: st.DrawFn) -> Moves:
    names = draw(
        st.lists(st.sampled_from(OLD_NAMES), min_size=2, max_size=4, unique=True)
    )
    fields: list[tuple[Any, ...]] = []
    values: dict[str, Any] = {}
    for name in names:
        kind = draw(st.sampled_from([*KINDS]))
        default = (draw(KINDS[kind]),) if draw(st.booleans()) else ()
        fields.append((name, kind, *default))
        values[name] = draw(KINDS[kind])
    if draw(st.booleans()):
        new_names = draw(st.permutations(names))
    else:
        n = len(names)
        new_names = draw(
            st.lists(st.sampled_from(NEW_NAMES), min_size=n, max_size=n, unique=True)
        )
    return Moves(
        fields,
        dict(zip(names, new_names, strict=True)),
        values,
        draw(st.sampled_from(WHERE)),
    )


def _taken_by(kind: Any) -> tuple[Any, ...]:
    """Return the types whose values a field of ``kind`` takes as well."""
    wider = {float: (int,), str: (Literal["adam", "sgd"],), int | None: (int,)}
    return (kind, *wider.get(kind, ()))


def _is_anybodys(drawn: Moves, name: str) -> bool:
    """Return whether nothing can tell which of two fields goes by a name now.

    A field of the same type had the name before, or another one of that type and
    default has moved as well; or its own name goes on, with a type that takes it.
    """
    by_name = {name: rest for name, *rest in drawn.fields}
    heirs = [old for old, new in drawn.names.items() if new == name and old != name]
    if heirs and by_name[name][0] in _taken_by(by_name[heirs[0]][0]):
        return True
    before = by_name.get(drawn.names[name])
    if before is not None and before[0] == by_name[name][0]:
        return True
    return any(
        rest[0] == by_name[name][0] and drawn.names[other] != other and other != name
        for other, rest in by_name.items()
    )


@settings(max_examples=50, deadline=None)
@given(moves())
@example(
    # Two new fields may be the old "steps", which may as well have changed its type.
    Moves(
        [
            ("steps", float),
            ("items", Literal["adam", "sgd"], "adam"),
            ("lr", float),
            ("note", int),
        ],
        {"steps": "depth", "items": "lr", "lr": "alpha", "note": "steps"},
        {"steps": 1.0, "items": "adam", "lr": 0.0, "note": 0},
        "top",
    )
)
@example(
    Moves(
        [("items", Literal["adam", "sgd"]), ("lr", str, ""), ("steps", str)],
        {"items": "lr", "lr": "steps", "steps": "note"},
        {"items": "adam", "lr": "", "steps": ""},
        "top",
    )
)
@example(
    Moves(
        [("depth", int | None), ("lr", int | None), ("steps", int, 0)],
        {"depth": "steps", "lr": "items", "steps": "rate"},
        {"depth": None, "lr": None, "steps": 1},
        "top",
    )
)
@example(
    Moves(
        [("depth", int), ("lr", int, 0), ("steps", float)],
        {"depth": "lr", "lr": "steps", "steps": "note"},
        {"depth": 1, "lr": 0, "steps": 0.0},
        "top",
    )
)
def test_each_value_arrives_where_it_belongs_or_the_report_says_of_it(
    drawn: Moves,
) -> None:
    old, new, value = drawn.classes()
    checker = check(old, new)
    fixes = checker.proposed_fixes
    fixed = new_version(new, {0: fixes})
    said = {
        name
        for change in checker.changes
        if change.severity == Severity.ERROR
        or isinstance(change, FieldRemoved)
        or (isinstance(change, Harmless) and isinstance(change.change, NameInDoubt))
        for name in (change.field[-1:])
    }

    for elide in (False, True):
        text = dumps(value, elide_defaults=elide)
        try:
            arrived = drawn.values_in(loads(fixed, text))
        except ConfigError as error:
            # A rule that says which values are left refuses the others by name.
            checked = {fix.field[-1] for fix in fixes if isinstance(fix, CheckValue)}
            refused = {problem.path.rpartition(".")[2] for problem in error.problems}
            assert checker.severity() == Severity.ERROR or refused <= checked
            continue
        for name, expected in drawn.values.items():
            if _is_anybodys(drawn, name) or {name, drawn.names[name]} & said:
                continue
            assert arrived[name] == expected, checker.report()
            assert type(arrived[name]) is type(expected), checker.report()
