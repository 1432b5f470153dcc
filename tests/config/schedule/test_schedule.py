"""The value of a schedule at each point, and its text."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest

from burnish.config import ConfigError, Hparam, Hparams, Schedule, dumps, load, loads
from burnish.config.schedule import at

from .configs import LIN, Leaf


@pytest.mark.parametrize(
    ("x", "y"),
    [(-5, 1.0), (0, 1.0), (25, 0.9775), (500, 0.55), (1000, 0.1), (2000, 0.1)],
)
def test_linear_is_the_default_join_and_ends_are_held(x: float, y: float) -> None:
    assert Schedule.parse(LIN)(x) == pytest.approx(y)
    assert Schedule.parse("step: 1.0@0 0.1@1000")(x) == pytest.approx(y)


@pytest.mark.parametrize(("x", "y"), [(25, 0.85355), (50, 0.5), (100, 0), (150, 0)])
def test_cosine(x: float, y: float) -> None:
    schedule = Schedule.parse("step: 1.0@0 cos 0.0@100")

    assert schedule(x) == pytest.approx(y, abs=1e-5)


@pytest.mark.parametrize(("x", "y"), [(99, 0.1), (100, 0.0), (150, 0.0)])
def test_a_step_reaches_its_last_value(x: float, y: float) -> None:
    assert Schedule.parse("step: 0.1@0 step 0.0@100")(x) == y


def test_one_point_is_a_constant() -> None:
    schedule = Schedule.parse("step: 1@0")

    assert schedule(-1) == schedule(7) == 1.0


def test_exponential_joins_multiply_by_equal_factors() -> None:
    schedule = Schedule.parse("step: 1@0 exp 0.01@100")

    assert schedule(50) == pytest.approx(0.1)


def test_a_join_stays_in_force_for_the_points_that_follow() -> None:
    schedule = Schedule.parse("step: 1@0 step 2@10 3@20 lin 4@30")

    assert [schedule(x) for x in (5, 15, 25)] == [1.0, 2.0, 3.5]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("step: 1@0 quad 0@9", "quad"),
        ("step: 1@9 0@0", "increase"),
        ("step: 1@0 0@0", "increase"),
        ("step: 1 0@9", "'1' is not a point"),
        ("1@0 lin 0@9", "key"),
        (": 1@0", "path"),
        ("step:", "at least one point"),
        ("step: lin 1@0", "between two points"),
        ("step: 1@0 lin", "missing after"),
        ("step: 1@0 lin cos 2@9", "between"),
        ("step: 1@0 exp 0@9", "the same sign"),
        ("step: 1e999@0", "finite"),
        ("step: 1@0 lin 1e-999@9", "too small for a float"),
        ("step: @0", "not a point"),
    ],
)
def test_bad_text_is_quoted_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as told:
        Schedule.parse(text)
    with pytest.raises(ConfigError, match=why) as in_config:
        loads(Leaf, f'(lr: "{text}")')

    assert repr(text) in str(told.value)
    assert in_config.value.problems[0].path == "lr"


def test_a_field_may_be_a_schedule_itself() -> None:
    class Plan(Hparams):
        lr: Schedule = Schedule.parse("step: 1@0")

    plan = loads(Plan, f'(lr: "{LIN}")')

    assert plan.lr(500) == pytest.approx(0.55)
    assert loads(Plan, dumps(plan)) == plan


def test_schedules_made_from_points_have_a_text() -> None:
    schedule = Schedule("step", ((0, 1.0), (10, 0.5)), ("cos",))

    assert Schedule.parse(str(schedule)).points == schedule.points
    with pytest.raises(ValueError, match="points"):
        Schedule("step", ((0, 1.0), (10, 0.5)))
    with pytest.raises(ValueError, match=r"1 join out of lin, .*'line'"):
        Schedule("step", ((0, 1.0), (10, 0.5)), ("line",))


@pytest.mark.parametrize("nan", [float("nan"), np.float32("nan")])
def test_nan_is_nowhere_on_a_schedule(nan: float) -> None:
    schedule = Schedule.parse("loss: 1@0 lin 2@10")

    with pytest.raises(
        ValueError, match=r"'loss: 1@0 lin 2@10': .*no value at x = NaN"
    ):
        schedule(nan)

    assert schedule(10**400) == schedule(float("inf")) == 2.0


def test_values_are_finite_everywhere() -> None:
    schedule = Schedule.parse("step: -1@-150e6 cos 1@150e6 exp 1e-300@151e6")

    assert all(math.isfinite(schedule(x * 1e6)) for x in range(-200, 200))


@pytest.mark.parametrize("join", ["lin", "cos", "exp", "step"])
def test_every_join_is_exact_at_both_ends_and_between_them(join: str) -> None:
    values = [0.1, 0.3, 1e-300, 7.1e300, 0.7, 1e-5, 0.1]
    points = [(float(x) * 0.1, value) for x, value in enumerate(values)]
    schedule = Schedule("step", tuple(points), (join,) * (len(points) - 1))

    for x, value in points:
        assert schedule(x) == value
    for (x0, a), (x1, b) in itertools.pairwise(points):
        for i in range(50):
            assert min(a, b) <= schedule(x0 + (x1 - x0) * i / 50) <= max(a, b)


def test_a_schedule_that_starts_at_its_bound_keeps_it() -> None:
    class Bounded(Hparams):
        lr: float = Hparam(default=0.2, ge=0.1)

    config = loads(Bounded, '(lr: "step: 0.1@0 cos 0.3@10")')

    assert at(config, {"step": 0}).lr == 0.1


def test_points_as_far_apart_as_floats_go_have_values_between() -> None:
    schedule = Schedule.parse("step: -1e308@-1e308 lin 1e308@1e308")

    assert schedule(0) == 0
    assert abs(schedule(5e307) / 5e307 - 1) < 1e-12


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ('{"rates": {"01": "step: 1@0 2@10", "1": 5.0}}', "json"),
        ("rates:\n  '01': 'step: 1@0 2@10'\n  '1': 5.0", "yaml"),
        ('(rates: {"01": "step: 1@0 2@10", "1": 5.0})', "ron"),
    ],
)
def test_two_keys_that_the_class_takes_for_one_are_refused(
    text: str, format: str
) -> None:
    @dataclass
    class Keyed:
        rates: dict[int, float]

    with pytest.raises(ConfigError, match="rates: key '1' is '01' written differently"):
        loads(Keyed, text, format)


@pytest.mark.parametrize(
    ("text", "x", "value"),
    [
        ("9007199254740993@0", 0, 2**53 + 1),
        ("9007199254740993@0 step 9007199254740995@2", 1, 2**53 + 1),
        ("9007199254740993@0 lin 9007199254740997@2", 1, 2**53 + 3),
        ("-9007199254740993@0 lin -9007199254740996@2", 1, -(2**53) - 2),
        ("0@0 lin 1152921504606846976@3", 1, 2**60 // 3),
        ("9223372036854775807@0 cos 0@2", 0, 2**63 - 1),
    ],
)
def test_whole_numbers_beyond_floats_are_kept_to_the_last_digit(
    text: str, x: int, value: int
) -> None:
    class Config(Hparams):
        n: int

    config = load(Config, None, [f"n=step: {text}"])

    assert at(config, {"step": x}).n == value


def test_a_geometric_join_of_values_whose_product_is_0_is_one() -> None:
    schedule = Schedule.parse("step: 1e-300@0 exp 1e-302@2")

    assert schedule(1) == pytest.approx(1e-301, rel=1e-12, abs=0)


def test_a_number_in_the_place_of_a_state_is_told_the_call() -> None:
    schedule = Schedule.parse("step: 1@0 lin 0@100")

    with pytest.raises(ValueError, match=r"The value at a number is schedule\(50\)"):
        schedule.at(50)
    assert schedule(50) == 0.5
