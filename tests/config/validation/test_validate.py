from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from burnish.config import ConfigError
from burnish.config.validation.overrides import override_texts
from burnish.config.validation.validate import build, build_plain


class Optimizer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    steps: int | None = None


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


def outcome(call: Any) -> tuple[str, object]:
    try:
        return "config", call().model_dump()
    except ConfigError as error:
        return "problems", [str(problem) for problem in error.problems]


@given(TREES, st.lists(st.builds("{}={}".format, PATHS, VALUES), max_size=3))
@example({}, ["optimizer=Adam(lr: 2)"])
@example({"optimizer": {"lr": 1}}, ["optimizer.lr=2", "optimizer.steps=3"])
def test_overrides_of_a_plain_tree_mean_what_they_mean_everywhere(
    tree: dict[str, object], overrides: list[str]
) -> None:
    quick = outcome(lambda: build_plain(Config, tree, "", overrides))

    assert quick == outcome(lambda: build(Config, tree, overrides=overrides))


def test_a_tree_that_was_given_stays_as_it_was() -> None:
    tree: dict[str, Any] = {"optimizer": {"lr": 1}, "widths": [1]}

    config = build_plain(Config, tree, "", ["optimizer.lr=2", "widths.1=5"])

    assert (config.optimizer.lr, config.widths) == (2, [1, 5])
    assert tree == {"optimizer": {"lr": 1}, "widths": [1]}


def test_overrides_that_are_read_once_are_all_applied() -> None:
    overrides = (text for text in ["name=a", "mixed=1", "optimizer=Optimizer(lr: 2)"])

    config = build_plain(Config, {}, "", overrides)

    assert (config.name, config.mixed, config.optimizer.lr) == ("a", 1, 2)


@pytest.mark.parametrize("overrides", ["a=1", {"a": 1}, [1], 5])
def test_overrides_that_are_no_list_of_texts_are_refused(overrides: Any) -> None:
    with pytest.raises(TypeError, match="list of texts"):
        override_texts(overrides)
    with pytest.raises(TypeError, match="list of texts"):
        build_plain(Config, {}, "", overrides)
