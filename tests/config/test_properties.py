import copy
import dataclasses
import enum
from functools import partial
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.config import (
    ChangeDefault,
    Hparam,
    Hparams,
    MapFieldValue,
    RenameField,
    Versioned,
    dumps,
    load,
    loads,
)
from burnish.config.formats import config_format_named


class Color(enum.Enum):
    RED = "red"
    BLUE = 2


floats = st.floats(allow_nan=False)
text = st.text(st.characters(exclude_categories=["Cs"]))

TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers(-(2**70), 2**70)),
    (float, floats),
    (bool, st.booleans()),
    (str, text),
    (Color, st.sampled_from(Color)),
    (Literal["a", "b", 3], st.sampled_from(["a", "b", 3])),
    (int | None, st.none() | st.integers()),
    (str | None, st.none() | text),
    (list[int], st.lists(st.integers(), max_size=3)),
    (tuple[float, str], st.tuples(floats, text)),
    (tuple[int, ...], st.lists(st.integers(), max_size=3).map(tuple)),
    (dict[str, float], st.dictionaries(text, floats, max_size=3)),
    (dict[int, bool], st.dictionaries(st.integers(), st.booleans(), max_size=3)),
    (list[list[str]], st.lists(st.lists(text, max_size=2), max_size=2)),
]

FORMATS = ["json", "yaml", "ron"]


@st.composite
def dataclass_values(draw: st.DrawFn, depth: int = 2) -> Any:
    """Draw a value of a dataclass of a drawn shape."""
    chosen = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5))
    fields: list[tuple[str, Any, Any]] = []
    values: dict[str, Any] = {}
    for i, (kind, strategy) in enumerate(chosen):
        value, default = draw(strategy), draw(strategy)
        values[f"f{i}"] = value
        has_default = draw(st.booleans())
        made = dataclasses.field(default_factory=partial(copy.copy, default))
        fields.append((f"f{i}", kind, made if has_default else dataclasses.field()))
    if depth and draw(st.booleans()):
        inner = draw(dataclass_values(depth=depth - 1))
        fields.append(("inner", type(inner), dataclasses.field()))
        fields.append(("inners", list[type(inner)], dataclasses.field()))  # type: ignore[misc]  # made here
        values |= {"inner": inner, "inners": [inner, inner]}
    cls = dataclasses.make_dataclass("Drawn", fields, kw_only=True)
    return cls(**values)


plain_trees = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | text,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=80, deadline=None)
@given(tree=st.dictionaries(text, plain_trees, max_size=4))
def test_reading_a_written_tree_gives_it_back(format: str, tree: Any) -> None:
    form = config_format_named(format)

    again = form.read(form.write(tree))

    assert again == tree
    assert repr(again) == repr(tree)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=60, deadline=None)
@given(value=dataclass_values(), elide=st.booleans())
def test_loading_a_dumped_dataclass_gives_it_back(
    format: str, value: Any, elide: bool
) -> None:
    again = loads(type(value), dumps(value, format, elide_defaults=elide), format)

    assert again == value
    assert repr(again) == repr(value)


class Target(Hparams):
    n: int = 0
    f: float = 0.0
    flag: bool = False
    name: str = ""
    xs: list[int] = Hparam(default_factory=list)
    inner: "Inner | None" = None


class Inner(Hparams):
    lr: float = 0.1
    color: Color = Color.RED


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(),
    f=st.floats(allow_nan=False),
    flag=st.booleans(),
    name=text,
    xs=st.lists(st.integers(), max_size=3),
    lr=st.floats(0, 1),
)
def test_overrides_do_what_an_edited_file_does(
    n: int, f: float, flag: bool, name: str, xs: list[int], lr: float
) -> None:
    edited = {"n": n, "f": f, "flag": flag, "name": name, "xs": xs, "inner": {"lr": lr}}
    overrides = [f"n={n}", f"f={f!r}", f"flag={flag}", f"name={name}", f"xs={xs}"]

    overridden = load(Target, None, [*overrides, f"inner.lr={lr!r}"])

    assert overridden == load(Target, edited)


class V0(Hparams, Versioned):
    lr: float = 0.1
    size: int = 1

    @classmethod
    def version(cls) -> int:
        return 0


class V1(Hparams, Versioned):
    rate: float = 0.2
    size: int = 1

    @classmethod
    def version(cls) -> int:
        return 1

    @classmethod
    def upgrade_rules(cls) -> Any:
        return {0: [ChangeDefault("lr", 0.1, 0.2), RenameField("lr", "rate")]}


class Part(Hparams):
    rate: float = 0.2
    sizes: list[int] = Hparam(default_factory=lambda: [1])


class V2(Hparams, Versioned):
    part: Part = Part()

    @classmethod
    def version(cls) -> int:
        return 2

    @classmethod
    def upgrade_rules(cls) -> Any:
        second = [
            MapFieldValue("size", lambda size: [size]),
            RenameField("size", "part.sizes"),
            RenameField("rate", "part.rate"),
        ]
        return {**V1.upgrade_rules(), 1: second}


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=40, deadline=None)
@given(lr=floats, size=st.integers(), elide=st.booleans())
def test_upgrading_in_steps_and_at_once_agree(
    format: str, lr: float, size: int, elide: bool
) -> None:
    oldest = dumps(V0(lr=lr, size=size), format, elide_defaults=elide)

    middle = dumps(loads(V1, oldest, format), format, elide_defaults=elide)

    assert loads(V2, oldest, format) == loads(V2, middle, format)
    assert loads(V2, oldest, format) == V2(part=Part(rate=lr, sizes=[size]))
