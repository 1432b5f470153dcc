"""What is written comes back as the same value, or is refused with its path."""

import datetime
import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field, make_dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, Field, SecretBytes, SecretStr

from burnish.config import (
    ConfigError,
    Hparam,
    Hparams,
    describe,
    dump,
    dumps,
    load,
    loads,
)
from burnish.config.schema import commands

FORMATS = ["json", "yaml", "ron"]


class Cat(Hparams):
    kind: Literal["cat"] = "cat"
    n: int = 1


class Dog(Hparams):
    kind: Literal["dog"] = "dog"
    n: int = 1


class Zoo(Hparams):
    one: Dog | Cat = Dog()
    pair: tuple[Dog | Cat, Dog | Cat] = (Dog(), Dog())
    all: list[Dog | Cat] = Hparam(default_factory=list)
    by_name: dict[str, Dog | Cat] = Hparam(default_factory=dict)
    deep: list[dict[str, tuple[Dog | Cat | None, ...]]] = Hparam(default_factory=list)


ZOO = Zoo(
    one=Cat(),
    pair=(Dog(), Cat(n=5)),
    all=[Cat(n=5), Cat(), Dog()],
    by_name={"tom": Cat(n=5)},
    deep=[{"x": (None, Cat(n=5), Dog())}],
)


@pytest.mark.parametrize("format", FORMATS)
def test_a_member_of_a_union_keeps_its_tag_at_any_depth_without_defaults(
    format: str,
) -> None:
    text = dumps(ZOO, format, elide_defaults=True)

    assert loads(Zoo, text, format) == ZOO


@pytest.mark.parametrize("suffix", ["json", "yaml", "ron"])
def test_upgrade_config_keeps_what_a_file_says(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"zoo.{suffix}"
    dump(ZOO, file)

    with pytest.raises(SystemExit) as ended:
        commands.schema_evolution_cli(Zoo, ["upgrade-config", str(file)])

    assert ended.value.code == 0
    assert load(Zoo, file) == ZOO


class Left(Hparams):
    x: int = 1


class Right(Hparams):
    x: int = 1


class Wider(Left):
    pass


class Keyed(enum.Enum):
    A = (1, 2)
    B = "A"


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class Holder:
    value: Any


def holder(annotation: Any) -> Any:
    """Return a dataclass whose only field is of type ``annotation``."""
    cls: Any = type("Holder", (), {"__annotations__": {"value": annotation}})
    return dataclass(cls)


REFUSED: list[tuple[str, Any, Any, str, str]] = [
    # what, type of the field, value, formats, path
    ("subclass", Left, Wider(), "json yaml ron", "value"),
    ("subclass in a list", list[Left], [Left(), Wider()], "json yaml ron", "value[1]"),
    ("one shape", Left | Right, Right(), "json yaml", "value"),
    (
        "one shape in a dict",
        dict[str, Left | Right],
        {"a": Right()},
        "json yaml",
        "value.a",
    ),
    (
        "date or text",
        datetime.date | str,
        datetime.date(2020, 1, 1),
        "json yaml ron",
        "value",
    ),
    ("path or text", str | Path, Path("x"), "json yaml ron", "value"),
    ("two keys, one text", dict[int | str, int], {1: 1, "1": 2}, "json", "value"),
    ("number or text as key", dict[int | str, int], {1: 1}, "json", "value"),
    ("no key", dict[str | None, int], {None: 1}, "json", "value"),
    (
        "member and its value as keys",
        dict[Level | int | str, int],
        {Level.LOW: 1, "1": 2},
        "json yaml ron",
        "value",
    ),
    ("member with a tuple", Keyed, Keyed.A, "json yaml ron", "value"),
    ("object of any class", Any, Left(), "json yaml ron", "value"),
    ("tuple of no type", Any, (1, 2), "json yaml", "value"),
    ("set of no type", Any, {1, 2}, "json yaml ron", "value"),
    ("member of no type", Any, Level.LOW, "json yaml ron", "value"),
    ("counter of no type", Any, Counter("aab"), "json yaml ron", "value"),
    (
        "default dict among others",
        Any,
        [defaultdict(int, a=1)],
        "json yaml ron",
        "value[0]",
    ),
    ("counter for a dict", dict[str, int], Counter("aab"), "json yaml ron", "value"),
    ("bound of a deque", deque[int], deque([1], 2), "json yaml ron", "value"),
    (
        "factory of a default dict",
        defaultdict[str, int],
        defaultdict(float, a=1),
        "json yaml ron",
        "value",
    ),
    ("list or tuple", list[int] | tuple[int, ...], (1, 2), "json yaml", "value"),
]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("annotation", "value", "formats", "path"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_what_would_be_read_as_another_value_is_refused_by_path(
    annotation: Any, value: Any, formats: str, path: str, format: str
) -> None:
    config = holder(annotation)(value)

    if format in formats:
        with pytest.raises(ConfigError) as refused:
            dumps(config, format)
        assert refused.value.problems[0].path == path
    else:
        assert loads(type(config), dumps(config, format), format) == config


def test_a_refused_value_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("before")

    with pytest.raises(ConfigError, match=r"value: the Right .* read as the Left"):
        dump(holder(Left | Right)(Right()), file)

    assert file.read_text() == "before"


def test_a_dict_for_from_dict_is_checked_too() -> None:
    class Either(Hparams):
        side: Left | Right = Left()

    with pytest.raises(ConfigError, match="side"):
        Either(side=Right()).to_dict()


@pytest.mark.parametrize("format", FORMATS)
def test_values_that_nobody_checked_come_back_as_the_field_says(format: str) -> None:
    @dataclass
    class Loose:
        rate: float = 1
        folder: Path = "data"  # type: ignore[assignment]  # that is the point
        pair: tuple[int, ...] = field(default_factory=cast(Any, lambda: [1, 2]))

        table: Mapping[str, int] = field(default_factory=lambda: OrderedDict(a=1))

    again = loads(Loose, dumps(Loose(), format), format)

    assert again == Loose(1.0, Path("data"), (1, 2), {"a": 1})


@pytest.mark.parametrize("override", ["base.x=2", "bases.0.x=2"])
def test_an_override_within_a_default_of_a_subclass_is_refused(override: str) -> None:
    class Based(Hparams):
        base: Left = Wider()
        bases: list[Left] = Hparam(default_factory=cast(Any, lambda: [Wider()]))

    with pytest.raises(ConfigError, match=r"found a Wider, expected Left"):
        load(Based, None, [override])


def test_of_two_classes_that_fit_the_one_with_all_fields_is_read() -> None:
    class More(Hparams):
        x: int = 1
        y: int = 2

    class Pair(Hparams):
        one: More | Left = More()

    assert loads(Pair, '{"one": {"x": 3}}', "json").one == Left(x=3)
    assert loads(Pair, dumps(Pair(one=Left()), "json"), "json").one == Left()


@dataclass
class Scaled:
    x: int
    scale: InitVar[int]
    y: int = 0

    def __post_init__(self, scale: int) -> None:
        self.y = self.x * scale


@pytest.mark.parametrize("format", FORMATS)
def test_an_init_only_argument_is_read_and_refused_where_it_must_be_written(
    format: str,
) -> None:
    text = {"json": '{"x": 2, "scale": 3}', "yaml": "x: 2\nscale: 3"}

    built = loads(Scaled, text.get(format, "(x: 2, scale: 3)"), format)

    assert (built.x, built.y) == (2, 6)
    with pytest.raises(ConfigError, match="scale: the value of an InitVar is not kept"):
        dumps(built, format)


def test_an_init_only_argument_may_be_overridden() -> None:
    assert loads(Scaled, "(x: 2, scale: 3)", overrides=["scale=5"]).y == 10


class Loose(enum.Enum):
    RED = "red"


@dataclass
class Unchecked:
    """Defaults that nothing validates: each is of another type than its field."""

    queue: deque[int] = field(default_factory=lambda: cast("Any", [1]))
    queues: list[deque[int]] = field(default_factory=lambda: [cast("Any", [1])])
    tables: dict[str, deque[int]] = field(
        default_factory=lambda: {"a": cast("Any", [1])}
    )
    place: Path = field(default=cast("Any", "x"))
    color: Loose = field(default=cast("Any", "red"))
    price: Decimal = field(default=cast("Any", "1.5"))
    names: frozenset[int] = field(default_factory=lambda: cast("Any", {1}))


@pytest.mark.parametrize("format", ["json", "yaml", "ron"])
@pytest.mark.parametrize("elide", [True, False])
def test_a_value_is_written_where_its_default_is_of_another_type_and_equal_as_text(
    format: Any, elide: bool
) -> None:
    value = Unchecked(
        queue=deque([1]),
        queues=[deque([1])],
        tables={"a": deque([1])},
        place=Path("x"),
        color=Loose.RED,
        price=Decimal("1.5"),
        names=frozenset({1}),
    )

    again = loads(Unchecked, dumps(value, format, elide_defaults=elide), format)

    assert again == value
    types = [type(v) for v in vars(again).values()]
    assert types == [type(v) for v in vars(value).values()]


def test_a_default_that_nothing_validated_is_left_out_as_it_stands() -> None:
    assert loads(Unchecked, dumps(Unchecked(), "json", elide_defaults=True)).queue == [
        1
    ]


class Keys(BaseModel):
    password: SecretStr = SecretStr("default")
    several: list[SecretBytes] = Field(default_factory=list)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("elide", [True, False])
def test_a_secret_is_refused_where_it_would_be_written_as_stars(
    format: str, elide: bool
) -> None:
    with pytest.raises(ConfigError, match="password: a secret"):
        dumps(Keys(password=SecretStr("mine")), format, elide_defaults=elide)
    with pytest.raises(ConfigError, match=r"several\[0\]: a secret"):
        dumps(Keys(several=[SecretBytes(b"mine")]), format, elide_defaults=True)

    assert loads(Keys, dumps(Keys(), format, elide_defaults=True), format) == Keys()


class Inner(BaseModel):
    size: int = 1
    depth: int = 1


class Derived(BaseModel):
    n: int = 2
    twice: int = Field(default_factory=lambda data: data["n"] * 2)
    inner: Inner = Field(default_factory=lambda data: Inner(size=data["n"]))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("elide", [True, False])
@pytest.mark.parametrize(
    "value", [Derived(), Derived(n=5), Derived(n=5, twice=4), Derived(inner=Inner())]
)
def test_a_default_that_is_made_of_other_fields_is_read_as_it_was(
    value: Derived, format: str, elide: bool
) -> None:
    text = dumps(value, format, elide_defaults=elide)

    assert loads(Derived, text, format) == value


def test_an_override_sets_what_is_made_of_other_fields_as_a_whole() -> None:
    assert load(Derived, {}, ["n=3", "twice=1"]) == Derived(n=3, twice=1)
    assert load(Derived, {}, ["n=3"]).inner == Inner(size=3)
    assert load(Derived, {}, ["inner=(depth: 4)"]).inner == Inner(depth=4)
    with pytest.raises(ConfigError, match=r"inner: its default is computed from other"):
        load(Derived, {}, ["inner.depth=4"])
    assert "computed from the fields before it" in describe(Derived)


@pytest.mark.parametrize("value", [{1}, b"x", Path("x")])
def test_ron_is_proposed_only_for_what_it_tells_apart(value: object) -> None:
    class Anything(Hparams):
        value: Any = None

    with pytest.raises(ConfigError) as no_cure:
        dumps(Anything(value=value), "json")
    with pytest.raises(ConfigError, match="or write RON"):
        dumps(Anything(value=(1, 2)), "json")

    assert "RON" not in str(no_cure.value)


@dataclass
class Sized:
    width: int = 2
    area: int = field(init=False)
    hook: Any = field(init=False, default=None)
    _scratch: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.area = self.width**2


@dataclass
class Sizes:
    first: Sized = field(default_factory=Sized)
    others: dict[str, list[Sized]] = field(default_factory=dict[str, list[Sized]])
    pair: tuple[Sized, ...] = ()


@pytest.mark.parametrize("format", FORMATS)
def test_a_value_that_the_constructor_would_make_otherwise_is_told(format: str) -> None:
    sizes = Sizes(Sized(3), {"a": [Sized(), Sized(4)]}, (Sized(5),))
    vars(sizes.first).update(hook=print, _scratch=4)
    assert loads(Sizes, dumps(sizes, format), format).first.area == 9

    sizes.others["a"][1].area = 7
    sizes.pair[0].area = 8
    with pytest.warns(
        RuntimeWarning, match=r"^others.a\[?.?1\]?.area \(and 1 more\): 7"
    ):
        dumps(sizes, format)


@dataclass
class Times:
    at: datetime.datetime | datetime.time | None = None
    past: set[datetime.datetime] = field(default_factory=set[datetime.datetime])
    days: dict[datetime.datetime, int] = field(
        default_factory=dict[datetime.datetime, int]
    )


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "at",
    [
        datetime.datetime(2020, 7, 1, tzinfo=BERLIN),
        datetime.datetime(2020, 10, 25, 2, 30, fold=1),
        datetime.time(2, 30, tzinfo=BERLIN),
        datetime.datetime(2020, 7, 1, tzinfo=datetime.timezone(timedelta(seconds=7))),
    ],
)
def test_a_time_whose_zone_no_text_holds_is_refused(at: Any, format: str) -> None:
    with pytest.raises(ConfigError, match=r"at: the .* give it in UTC: time\.astimez"):
        dumps(Times(at=at), format)


@pytest.mark.parametrize("format", FORMATS)
def test_a_time_in_a_set_or_a_key_whose_zone_no_text_holds_is_refused(
    format: str,
) -> None:
    summer = datetime.datetime(2020, 7, 1, tzinfo=BERLIN)
    with pytest.raises(ConfigError, match="past: the set"):
        dumps(Times(past={summer}), format)
    with pytest.raises(ConfigError, match=r"days: .*datetime"):
        dumps(Times(days={summer: 1}), format)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "zone", [None, datetime.UTC, datetime.timezone(timedelta(hours=2))]
)
def test_a_time_with_a_fixed_offset_is_read_as_it_was(zone: Any, format: str) -> None:
    time = datetime.datetime(2020, 7, 1, 1, 2, 3, tzinfo=zone)
    times = Times(at=time, past={time})

    assert loads(Times, dumps(times, format), format) == times


@pytest.mark.parametrize("form", ["ron", "json", "yaml"])
def test_both_zeros_of_a_complex_number_come_back(form: str) -> None:
    cls = make_dataclass("Config", [("z", complex)])

    for z in (complex(-0.0, -0.0), complex(0.0, -0.0), complex(-0.0, 2), 1.5 - 2j):
        again: Any = loads(cls, dumps(cls(z), form), form)
        assert repr(again.z) == repr(z)


@pytest.mark.parametrize("form", ["ron", "json", "yaml"])
def test_a_set_is_not_read_as_a_frozen_one(form: str) -> None:
    union = make_dataclass("Config", [("s", frozenset[int] | set[int])])

    with pytest.raises(ConfigError, match=r"s: the set \{1\} would be read as"):
        dumps(union({1}), form)
    assert loads(union, dumps(union(frozenset([1])), form), form).s == frozenset([1])
