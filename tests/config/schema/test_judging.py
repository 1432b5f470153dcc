"""What the schema checker says of a change is what loading old files shows."""

import re
from dataclasses import dataclass, field, make_dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NotRequired, Union

import pytest
from typing_extensions import TypedDict

from burnish.config import (
    ChangeDefault,
    ConfigError,
    DeleteField,
    Hparam,
    Hparams,
    MapFieldValue,
    RenameField,
    Serializable,
    Versioned,
    dumps,
    loads,
)
from burnish.config.schema import (
    SchemaChecker,
    Severity,
    dump_schema,
    load_schema,
    schema_of,
)

from .old_files import check, config
from .schema_pairs import disagreement
from .versions import struct

FORMATS = ["json", "yaml", "ron"]

list_of: Any = list
"""For classes that a test makes, which no type checker takes for types."""


@pytest.mark.parametrize("batch", range(2))
def test_verdict_and_proposals_agree_with_loading_old_files(batch: int) -> None:
    seeds = range(15 * batch, 15 * batch + 15)

    disagreements = [text for seed in seeds if (text := disagreement(seed))]

    assert disagreements == []


@dataclass
class In:
    x: int = 1


@dataclass
class InName:
    x: int = 1


def test_a_default_is_changed_through_the_index_of_an_item() -> None:
    new = config(tuple[In, int], rules=[ChangeDefault("x.0.x", 0, 1)])

    assert loads(new, '{"x": [{}, 5]}', "json").x == (In(0), 5)
    assert loads(new, '{"x": [{"x": 3}, 5]}', "json").x == (In(3), 5)


@pytest.mark.parametrize(
    ("annotation", "old", "new"),
    [(Any, 1, True), (Any, [1, {"a": 0}], [1, {"a": False}]), (int | bool, 1, True)],
)
def test_a_number_that_becomes_a_boolean_is_another_default(
    annotation: Any, old: Any, new: Any
) -> None:
    before, after = config(annotation, lambda: old), config(annotation, lambda: new)

    checker = check(before, after)

    assert checker.severity() == Severity.WARN
    fixed = config(annotation, lambda: new, checker.proposed_fixes)
    assert repr(loads(fixed, "{}", "json").x) == repr(old)


@pytest.mark.parametrize(
    ("old", "new"), [((bool, True), (int, 1)), ((int, 1), (float, 1.0))]
)
def test_a_default_of_another_type_that_means_the_same_is_none(
    old: tuple[Any, Any], new: tuple[Any, Any]
) -> None:
    before, after = config(old[0], lambda: old[1]), config(new[0], lambda: new[1])

    assert check(before, after).severity() <= Severity.INFO


@pytest.mark.parametrize("format", FORMATS)
def test_a_struct_s_default_that_comes_or_goes_is_seen_and_kept(format: str) -> None:
    with_own, without = config(In, lambda: In(x=9)), config(In)
    for old, new, default, meaning in (
        (with_own, without, None, In(9)),
        (without, with_own, lambda: In(x=9), In(1)),
    ):
        checker = check(old, new)

        fixed = config(In, default, checker.proposed_fixes)

        assert checker.severity() == Severity.WARN
        elided = dumps(old(x=meaning), format, elide_defaults=True)
        assert loads(fixed, elided, format).x == meaning
        assert loads(fixed, dumps(old(x=In(5)), format), format).x == In(5)


def test_a_struct_that_becomes_one_of_two_of_its_shape_is_told() -> None:
    checker = check(config(In), config(InName | In))

    assert checker.severity() == Severity.ERROR
    assert "would be read as InName" in checker.report()


def _alike(name: str, *more: str) -> Any:
    fields = [(field_name, int, field(default=1)) for field_name in ("x", *more)]
    return make_dataclass(name, fields)


@pytest.mark.parametrize(
    "new",
    [
        (_alike("A", "y"), _alike("B", "y")),
        (_alike("A"), _alike("B", "y")),
        (_alike("A"), _alike("B"), _alike("C")),
    ],
)
def test_a_file_without_names_never_meant_the_second_of_two_alike_classes(
    new: Any,
) -> None:
    union: Any = Union

    assert check(config(_alike("A") | _alike("B")), config(union[new])).compatible


@pytest.mark.parametrize(
    "new", [_alike("B") | _alike("A"), _alike("A", "y") | _alike("B")]
)
def test_a_file_without_names_that_would_mean_the_second_of_them_is_told(
    new: Any,
) -> None:
    checker = check(config(_alike("A") | _alike("B")), config(new))

    assert "would be read as B" in checker.report()


def test_a_struct_that_would_be_read_as_its_sibling_is_told() -> None:
    checker = check(config(In | InName), config(In))

    assert checker.severity() == Severity.ERROR
    assert "x" in checker.report().split("by hand for:")[1]


@pytest.mark.parametrize("new", [int | str, int | None, list[Any], dict[str, Any]])
def test_a_field_of_any_value_that_is_narrower_now_is_told(new: Any) -> None:
    assert check(config(Any), config(new)).severity() == Severity.ERROR
    assert check(config(dict[Any, Any]), config(dict[Any, Any])).compatible


def test_a_rule_that_would_spoil_another_member_of_a_union_is_not_proposed() -> None:
    @dataclass
    class A:
        kind: Literal["a"] = "a"
        lr: float = 1.0

    @dataclass
    class B:
        kind: Literal["b"] = "b"

    old = config(A | B)
    a = make_dataclass(
        "A",
        [("kind", Literal["a"], field(default="a")), ("lr", float, field(default=2.0))],
    )
    checker = check(old, config(a | B))

    assert checker.severity() == Severity.ERROR
    assert "write rules by hand for:\n    x.lr" in checker.report()


@pytest.mark.parametrize(
    ("fields", "proposed"),
    [
        ([("lr", float)], [DeleteField("old")]),
        ([("lr", float), ("older", int, 1)], [RenameField("old", "older")]),
    ],
)
def test_a_rule_is_tried_where_only_it_tells_a_class_from_another_of_the_union(
    fields: list[Any], proposed: list[Any]
) -> None:
    def first(fields: list[Any], rules: list[Any]) -> Any:
        cls = struct(
            *fields, version=1 if rules else 0, rules={0: rules} if rules else {}
        )
        cls.__name__ = "First"
        return cls

    second = struct(("lr", float), ("old", int, 2), ("more", int, 3))
    old = first([("lr", float), ("old", int, 1)], [])
    checker = check(config(old | second), config(first(fields, []) | second))
    fixed = first(fields, proposed)

    text = dumps(config(old | second)(x=old(lr=0.5)), "json")

    assert f"{proposed[0]!r}" in checker.report()
    assert check(config(old | second), config(fixed | second)).compatible
    assert type(loads(config(fixed | second), text, "json").x) is fixed


def test_a_struct_that_becomes_a_dict_keeps_what_it_says() -> None:
    old = config(In)
    checker = check(old, config(dict[str, int]))

    fixed = config(dict[str, int], rules=checker.proposed_fixes)

    assert "DeleteField" not in checker.report()
    assert loads(fixed, dumps(old(x=In(7)))).x == {"x": 7}
    assert loads(fixed, dumps(old(x=In()), elide_defaults=True)).x == {"x": 1}


def test_a_verdict_says_that_values_are_not_judged() -> None:
    class Old(Hparams):
        n: int = 1
        name: str = "x"

    class New(Hparams):
        n: int = Hparam(default=1, ge=1)
        name: str = Hparam(default="x", pattern="[a-z]+")

    report = check(Old, New).report()

    assert report.startswith("Schema compatible\n(")
    assert (
        "bounds, patterns, lengths and validators of values are not checked" in report
    )


class Span(Serializable):
    """From one step to another, as a list."""

    def __init__(self, start: int = 0, end: int = 1) -> None:
        self.start, self.end = start, end

    def serialize(self) -> Any:
        return [self.start, self.end]

    @classmethod
    def deserialize(cls, data: Any, ctx: Any) -> "Span":
        start, end = data
        return cls(start, end)


class SpanOfKeys(Span):
    """The same in another form, which does not read the older one."""

    def serialize(self) -> Any:
        return {"start": self.start, "end": self.end}

    @classmethod
    def deserialize(cls, data: Any, ctx: Any) -> "SpanOfKeys":
        return cls(data["start"], data["end"])


class SpanOfBoth(SpanOfKeys):
    """One that reads both forms."""

    @classmethod
    def deserialize(cls, data: Any, ctx: Any) -> "SpanOfBoth":
        if isinstance(data, dict):
            return cls(data["start"], data["end"])
        return cls(*data)


class SpanOfTable(Span):
    """One that needs what only a program has."""

    @classmethod
    def deserialize(cls, data: Any, ctx: Any) -> "SpanOfTable":
        return cls(ctx["table"][data[0]], data[1])


SpanOfKeys.__qualname__ = SpanOfBoth.__qualname__ = SpanOfTable.__qualname__ = "Span"
SpanOfKeys.__name__ = SpanOfBoth.__name__ = SpanOfTable.__name__ = "Span"


def _of_spans(span: type[Span], place: str) -> type:
    kinds: dict[str, Any] = {
        "alone": (span, field(default_factory=span)),
        "in a list": (list[span], field(default_factory=lambda: [span()])),  # type: ignore[valid-type]
        "in a dict": (dict[str, span], field(default_factory=lambda: {"a": span()})),  # type: ignore[valid-type]
        "without default": (span, field()),
        "no default of it": (span | None, None),
    }
    return make_dataclass("Config", [("span", *kinds[place])])


@pytest.mark.parametrize("place", ["alone", "in a list", "in a dict"])
def test_a_default_that_its_own_class_no_longer_reads_is_incompatible(
    place: str,
) -> None:
    old, new = _of_spans(Span, place), _of_spans(SpanOfKeys, place)

    checker = check(old, new)

    assert not checker.compatible
    assert "[0, 1] is not a Span: TypeError" in checker.report()
    assert "- write rules by hand for:\n    span" in checker.report()


@pytest.mark.parametrize("place", ["alone", "without default", "no default of it"])
def test_of_data_that_only_its_class_knows_the_verdict_says_that_it_cannot_tell(
    place: str,
) -> None:
    old, new = _of_spans(Span, place), _of_spans(SpanOfBoth, place)

    report = check(old, new).report()

    assert "(span: the schema cannot tell whether Span still reads" in report


def test_a_class_that_asks_for_a_ctx_is_not_taken_for_incompatible() -> None:
    old, new = _of_spans(Span, "alone"), _of_spans(SpanOfTable, "alone")

    assert check(old, new).compatible


def test_extra_fields_that_are_forbidden_now_are_an_error(tmp_path: Any) -> None:
    class Old(Hparams, extra="allow"):
        n: int = 1

    class New(Hparams):
        n: int = 1

    file = tmp_path / "config-schema.ron"
    dump_schema(Old, file)

    checker = SchemaChecker(load_schema(file), New)

    assert checker.severity() == Severity.ERROR
    assert "allowed and are now refused" in checker.report()
    assert check(Old, Old).compatible


def test_proposals_follow_the_rules_that_are_there() -> None:
    @dataclass
    class Config(Versioned):
        size: int
        rate: float = 1.0

        @classmethod
        def version(cls) -> int:
            return 3

    old = make_dataclass(
        "Config",
        [("size", int)],
        bases=(Versioned,),
        namespace={"version": classmethod(lambda cls: 1)},
    )

    report = SchemaChecker(
        schema_of(
            make_dataclass(
                "Config",
                [("width", int)],
                bases=(Versioned,),
                namespace={"version": classmethod(lambda cls: 1)},
            )
        ),
        Config,
    ).report()

    assert check(old, Config).compatible
    assert "    2: [" in report


def test_a_mapping_of_the_author_s_own_is_not_tried_with_made_up_values() -> None:
    from burnish.config import MapFieldValue

    table = {"small": 1, "large": 2}
    new = config(int, rules=[MapFieldValue("x", table.__getitem__)])

    assert check(config(str), new).compatible
    assert loads(new, '(x: "large")').x == 2
    with pytest.raises(ConfigError, match="could not be mapped"):
        loads(new, '(x: "text")')


def test_an_old_default_of_a_whole_comes_before_those_of_its_parts() -> None:
    def classes(default: Any, rules: Any = None, **options: Any) -> Any:
        name = Literal["a", "c"] if default == "a" else Literal["b", "c"]
        inner: Any = make_dataclass(
            "Inner", [("name", name, field(default=default)), ("n", int, 0)]
        )
        return inner, config(tuple[int, inner], rules=rules, **options)

    inner, _ = classes("a")
    whole: Any = tuple.__class_getitem__((int, inner))
    old = config(whole, lambda: (1, inner(n=2)))
    _, new = classes("c")
    checker = check(old, new)
    _, fixed = classes("c", rules=checker.proposed_fixes)

    assert checker.severity() == Severity.WARN
    with pytest.raises(ConfigError, match="'a' is no longer allowed"):
        loads(fixed, '{"version": 0}')
    again = loads(fixed, '{"version": 0, "x": [1, {"name": "c"}]}')
    assert again.x[1].name == "c"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Literal[1], bool),
        (Literal[1], Literal[True]),
        (Literal[0, 1], Literal[True, False]),
        (list[Literal[0, 1]], list[bool]),
        (Literal[1, "a"], Literal[True, "a"]),
    ],
)
def test_a_number_that_would_be_read_as_true_is_told(old: Any, new: Any) -> None:
    before = make_dataclass("Config", [("x", old)])
    after = make_dataclass("Config", [("x", new)])

    report = SchemaChecker(schema_of(before), after).report()

    assert "Schema incompatible" in report
    assert "x" in report


@pytest.mark.parametrize("new", [int, float, int | bool])
def test_a_flag_that_becomes_a_number_is_the_number_that_it_was(new: Any) -> None:
    before = make_dataclass("Config", [("x", bool)])
    after = make_dataclass("Config", [("x", new)])

    assert SchemaChecker(schema_of(before), after).compatible


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (list[int], set[int]),
        (tuple[int, ...], frozenset[int]),
        (tuple[int, int], set[int]),
        (list[int] | None, set[int] | None),
        (dict[str, list[int]], dict[str, set[int]]),
        (list[int] | str, set[int] | str),
    ],
)
def test_items_that_were_there_twice_are_missed_in_a_set(
    old: Any, new: Any, tmp_path: Path
) -> None:
    before, after = (make_dataclass("Config", [("x", kind)]) for kind in (old, new))
    dump_schema(before, tmp_path / "schema.ron")

    checker = SchemaChecker(load_schema(tmp_path / "schema.ron"), after)

    assert checker.severity() == Severity.ERROR
    assert "set[int]" in checker.report()
    assert SchemaChecker(schema_of(after), after).changes == []


def test_a_rule_that_meets_another_field_is_no_matter_of_values() -> None:
    before = struct(("a", int), ("b", int))
    rules: Any = [RenameField("b", "a"), MapFieldValue("a", lambda x: x + 1)]
    after = struct(("a", int), version=1, rules={0: rules})

    checker = SchemaChecker(schema_of(before), after)

    with pytest.raises(ConfigError, match="a: already exists"):
        loads(after, dumps(before(a=1, b=2)))
    assert checker.severity() == Severity.ERROR
    assert "already exists" in checker.report()


def test_rules_of_one_class_say_nothing_of_another_in_the_same_list() -> None:
    def part(name: str, *fields: Any, version: int = 0, rules: Any = ()) -> Any:
        made = struct(*fields, version=version, rules=rules)
        made.__name__ = name
        return made

    first = part("First", ("a", int, 1), ("b", int), ("c", int))
    old = part("Second", ("a", int, 2), ("d", int))
    rules = {0: [RenameField("d", "e"), RenameField("a", "d")]}
    new = part("Second", ("d", int, 2), ("e", int), version=1, rules=rules)
    third = part("Third", ("d", int, 3), ("a", int, 4), ("f", int))
    before = make_dataclass("Config", [("parts", list_of[first | old | third])])
    after = make_dataclass("Config", [("parts", list_of[first | new | third])])

    assert SchemaChecker(schema_of(before), after).report() == "Schema compatible"


def test_a_mapping_gives_no_value_to_a_field_that_old_files_lack() -> None:
    before = struct(("a", int))
    rules: Any = [MapFieldValue("b", lambda x: x + 1)]
    after = struct(("a", int), ("b", int), version=1, rules={0: rules})

    checker = SchemaChecker(schema_of(before), after)

    with pytest.raises(ConfigError, match="b: missing value"):
        loads(after, dumps(before(a=1)))
    assert checker.severity() == Severity.ERROR


def test_a_set_may_become_a_list() -> None:
    assert check(config(set[int]), config(list[int])).compatible


def test_a_rule_that_says_what_becomes_of_doubles_makes_a_set_of_a_list() -> None:
    rules = [MapFieldValue("x", lambda items: [*dict.fromkeys(items)])]

    checker = check(config(list[int]), config(set[int], rules=rules))

    assert checker.compatible


@pytest.mark.parametrize("old", [int, float, int | float, Literal[1, 2]])
@pytest.mark.parametrize("new", [datetime, timedelta])
def test_a_number_is_no_time_since_nobody_said_its_unit(old: Any, new: Any) -> None:
    before, after = (make_dataclass("Config", [("x", kind)]) for kind in (old, new))

    checker = SchemaChecker(schema_of(before), after)

    assert checker.severity() == Severity.ERROR


def _keys(**types: Any) -> Any:
    typed_dict: Any = TypedDict
    return make_dataclass("Config", [("keys", typed_dict("Keys", types))])


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"b": int}, "new field without default value: keys.b"),
        ({"a": str}, "type changed from int to str: keys.a"),
        ({"a": int, "b": int}, "new field without default value: keys.b"),
        ({}, "field removed: keys.a"),
    ],
)
def test_the_keys_of_a_typed_dict_are_fields_to_the_check(
    new: dict[str, Any], message: str
) -> None:
    before, after = _keys(a=int), _keys(**new)

    checker = SchemaChecker(schema_of(before), after)

    assert message in checker.report()
    assert "Schema incompatible" in checker.report()
    with pytest.raises(ConfigError, match=r"keys\.[ab]"):
        loads(after, dumps(before({"a": 1})))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ({"a": NotRequired[int]}, {"a": NotRequired[int], "b": NotRequired[int]}, ""),
        ({"a": int}, {"a": NotRequired[int]}, ""),
        ({"a": NotRequired[int]}, {"a": int}, "key required now"),
        # A class has its defaults where a field is left out, but no key is made of it.
        ({"in": In}, {"in": In, "a": NotRequired[int]}, ""),
        ({"in": NotRequired[In]}, {"in": In}, "key required now"),
        ({"a": NotRequired[int]}, {"a": NotRequired[str]}, "type changed"),
        ({"a": NotRequired[int]}, {}, r"DeleteField\(field=\('keys', 'a'\)\)"),
        (
            {"size": NotRequired[int]},
            {"sizes": NotRequired[int]},
            r"RenameField\(old_field=\('keys', 'size'\)",
        ),
    ],
)
def test_keys_that_may_be_left_out_are_fields_to_the_check_too(
    old: dict[str, Any], new: dict[str, Any], message: str, tmp_path: Path
) -> None:
    schema_file = tmp_path / "config-schema.ron"
    dump_schema(_keys(**old), schema_file)

    checker = SchemaChecker(load_schema(schema_file), _keys(**new))

    assert checker.compatible == (not message)
    assert re.search(message or "Schema compatible", checker.report())


def test_a_versioned_class_in_a_typed_dict_is_checked_with_its_rules() -> None:
    old = struct(("a", int))
    new = struct(("b", int), version=1, rules={0: [RenameField("a", "b")]})

    for before, after in ((old, new), (list_of[old], list_of[new])):
        checker = SchemaChecker(schema_of(_keys(part=before)), _keys(part=after))
        assert checker.report() == "Schema compatible"
    assert not SchemaChecker(
        schema_of(_keys(part=old)), _keys(part=struct(("b", int)))
    ).compatible
