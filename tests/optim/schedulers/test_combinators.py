"""Schedules made of schedules."""

import pytest

from burnish.optim.schedulers import (
    Composed,
    Constant,
)


def test_sums_and_means_are_taken() -> None:
    parts = [Constant(0.1), Constant(0.3)]

    assert Composed(parts, "sum").step() == pytest.approx(0.4)
    assert Composed(parts, "mean").step() == pytest.approx(0.2)
    with pytest.raises(ValueError, match="'max'"):
        Composed(parts, "max")
