"""Schedules made of schedules."""

import pytest

from burnish.optim.schedulers import (
    Composed,
    Constant,
    Cosine,
    Warmup,
)


def test_sums_and_means_are_taken() -> None:
    parts = [Constant(0.1), Constant(0.3)]

    assert Composed(parts, "sum").step() == pytest.approx(0.4)
    assert Composed(parts, "mean").step() == pytest.approx(0.2)
    with pytest.raises(ValueError, match="'max'"):
        Composed(parts, "max")


def test_a_schedule_within_another_that_stands_at_a_step_is_refused() -> None:
    # Its step was ignored: the outer one counts.
    with pytest.raises(ValueError, match=r"n_steps=5 of Cosine.*Warmup\(\.\.\., n_"):
        Warmup([Cosine(0.1, 10, n_steps=5)], n_warmup=2)

    assert Warmup([Cosine(0.1, 10)], n_warmup=2, n_steps=12).lr() == 0.0


def test_what_is_no_schedule_cannot_be_composed() -> None:
    with pytest.raises(
        TypeError, match=r"expected a schedule, as Constant\(0.1\), got 1"
    ):
        Composed([1])
