from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from burnish.config import ConfigError, dumps, load, loads
from burnish.config.validation.overrides import override_texts
from burnish.config.validation.validate import build


class Optimizer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    steps: int | None = None


class Size(Enum):
    SMALL = "small"
    LARGE = "l"


class Unions(BaseModel):
    """Fields whose value may be several things."""

    model_config = ConfigDict(extra="forbid")

    size: Size | str = "none"
    literal: Literal[Size.SMALL, "small"] = "small"
    sizes: list[Size | str] = []
    options: Optimizer | dict[str, int] = {}
    widths: list[int] | dict[str, int] | None = None
    number: int | float = 1
    word: int | str | None = None
    rate: float | Literal["auto"] = "auto"
    flag: bool | str = False


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = "run"
    widths: list[int] = [8, 8]
    rates: dict[str, float] = {}
    is_quick: bool = False
    optimizer: Optimizer = Optimizer()
    mixed: int | str | None = None


PATHS = st.sampled_from(
    [
        *("name", "widths", "widths.0", "widths.2", "widths.9", "rates", "rates.a"),
        *("is_quick", "optimizer", "optimizer.lr", "optimizer.betas", "mixed", "lr"),
        *("optimizer.betas.0", "optimizer.steps", "optimizer.missing", "name.x", ""),
    ]
)
VALUES = st.sampled_from(
    [
        *("1", "0.5", "1e3", "x", "true", "None", "[1, 2]", "(0.5, 0.9)", "()", "{}"),
        *('{"a": 1}', "Optimizer(lr: 2)", "Adam(lr: 2)", "(lr: 1)", "1 -> 0 in 5", ""),
        *("Optimizer", "nan", "9" * 30, '"7"', "[1, [2]]", "Some(3)"),
    ]
)
TREES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", 3]),
        "widths": st.sampled_from([[1], [], ["x"], 3]),
        "optimizer": st.sampled_from([{}, {"lr": 1}, {"lr": "fast"}, {"steps": 2}]),
        "rates": st.sampled_from([{}, {"a": 1.0}]),
        "unknown": st.just(1),
    },
)


ANY_VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([0.5, 2.0, float("inf"), 10**30]),
    st.sampled_from(["small", "SMALL", "l", "LARGE", "auto", "1", "1.5", "true", ""]),
    st.sampled_from(["1 -> 0 in 5", "Optimizer", "none"]),
    st.lists(st.sampled_from(["small", "LARGE", "x", 1]), max_size=2),
    st.dictionaries(st.sampled_from(["lr", "steps", "other"]), st.integers(0, 2)),
)
UNION_TREES = st.dictionaries(
    st.sampled_from(list(Unions.model_fields)), ANY_VALUE, max_size=3
)


def outcome(call: Any) -> tuple[str, object]:
    try:
        # As text: 1 is neither 1.0 nor True.
        return "config", repr(call())
    except ConfigError as error:
        return "problems", [str(problem) for problem in error.problems]


@given(TREES, st.lists(st.builds("{}={}".format, PATHS, VALUES), max_size=3))
@example({}, ["optimizer=Adam(lr: 2)"])
@example({"optimizer": {"lr": 1}}, ["optimizer.lr=2", "optimizer.steps=3"])
def test_overrides_of_a_plain_tree_mean_what_they_mean_everywhere(
    tree: dict[str, object], overrides: list[str]
) -> None:
    quick = outcome(lambda: build(Config, tree, overrides=overrides, is_plain=True))

    assert quick == outcome(lambda: build(Config, tree, overrides=overrides))


@given(UNION_TREES)
@example({"size": "small"})
@example({"size": "LARGE"})
@example({"sizes": ["small", "x"]})
@example({"literal": "small"})
@example({"options": {"other": 1}})
def test_a_union_of_a_plain_tree_means_what_it_means_everywhere(
    tree: dict[str, object],
) -> None:
    quick = outcome(lambda: build(Unions, tree, is_plain=True))

    assert quick == outcome(lambda: build(Unions, tree))


def test_the_first_of_alike_classes_is_taken_whatever_was_read_before() -> None:
    @dataclass
    class Left:
        x: int = 1

    @dataclass
    class Right:
        x: int = 1

    @dataclass
    class Config:
        forward: Left | Right
        backward: Right | Left

    config = loads(Config, "(forward: (x: 2), backward: (x: 2))")

    assert (type(config.forward), type(config.backward)) == (Left, Right)


def test_a_member_of_an_enum_is_one_in_every_format() -> None:
    texts = {
        "json": '{"size": "small"}',
        "yaml": "size: small",
        "ron": '(size:"small")',
    }

    sizes = [loads(Unions, text, format=form).size for form, text in texts.items()]

    assert sizes == [Size.SMALL] * 3


def test_a_tree_that_was_given_stays_as_it_was() -> None:
    tree: dict[str, Any] = {"optimizer": {"lr": 1}, "widths": [1]}

    config = build(
        Config, tree, overrides=["optimizer.lr=2", "widths.1=5"], is_plain=True
    )

    assert (config.optimizer.lr, config.widths) == (2, [1, 5])
    assert tree == {"optimizer": {"lr": 1}, "widths": [1]}


def test_overrides_that_are_read_once_are_all_applied() -> None:
    overrides = (text for text in ["name=a", "mixed=1", "optimizer=Optimizer(lr: 2)"])

    config = build(Config, {}, overrides=overrides, is_plain=True)

    assert (config.name, config.mixed, config.optimizer.lr) == ("a", 1, 2)


@pytest.mark.parametrize("overrides", ["a=1", {"a": 1}, [1], 5])
def test_overrides_that_are_no_list_of_texts_are_refused(overrides: Any) -> None:
    with pytest.raises(TypeError, match="list of strings"):
        override_texts(overrides)
    with pytest.raises(TypeError, match="list of strings"):
        build(Config, {}, overrides=overrides, is_plain=True)


class Mode(Enum):
    FAST = 1
    SLOW = "s"


@dataclass
class Chosen:
    one: Literal[Mode.FAST, Mode.SLOW] = Mode.FAST
    many: list[Literal[Mode.FAST, "x"] | None] = field(default_factory=list)
    table: dict[Literal[Mode.SLOW], int] = field(default_factory=dict)
    number: Literal[Mode.FAST] | int = 3


@pytest.mark.parametrize("format", ["ron", "json", "yaml"])
def test_members_in_a_literal_are_read_as_they_are_written(format: str) -> None:
    chosen = Chosen(Mode.FAST, [Mode.FAST, "x", None], {Mode.SLOW: 1}, 1)

    assert loads(Chosen, dumps(chosen, format), format) == chosen


@pytest.mark.parametrize("text", ["FAST", "1"])
def test_members_in_a_literal_go_by_name_too(text: str) -> None:
    assert loads(Chosen, f"(one: {text})").one is Mode.FAST
    assert load(Chosen, None, [f"one={text}"]).one is Mode.FAST
    assert load(Chosen, None, ["one=SLOW", "many=[FAST, 1]"]).many == 2 * [Mode.FAST]


def test_a_member_in_a_literal_that_a_number_stands_for_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"FAST.*would be read as the int 1"):
        dumps(Chosen(number=Mode.FAST))


@pytest.mark.parametrize(
    ("format", "text"),
    [("json", '{"one": "B"}'), ("yaml", "one: B"), ("ron", '(one: "B")')],
)
def test_a_text_that_is_the_name_of_a_class_is_told_what_takes_names(
    format: str, text: str
) -> None:
    @dataclass
    class A:
        x: int = 1

    @dataclass
    class B:
        y: int = 1

    @dataclass
    class Choice:
        one: A | B = field(default_factory=A)

    with pytest.raises(
        ConfigError, match=r"one: found the string 'B'.*fields of A or B"
    ):
        loads(Choice, text, format)
    assert loads(Choice, "(one: B)").one == B()
