"""Unusual values of a tensor, by rules that fit on a line."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ...config.short_text import quantity
from .histogram import Spread
from .statistics import TensorStats

Kind: TypeAlias = Literal[
    "NaN", "infinite", "dead", "outliers", "almost constant", "constant"
]

_REACH = 10
"""An outlier is this many times as far out as the middle of the values."""

_FEWEST = 8
"""The number of values below which none counts as an outlier."""

RULES: Mapping[Kind, str] = {
    "NaN": "a value is not a number",
    "infinite": "a value is infinite",
    "dead": "a matrix, or a tensor of more dimensions, has one value everywhere",
    "outliers": (
        "a value lies ten times as far from the median as the farthest of the middle "
        "99 % of the values"
    ),
    "almost constant": "99 % of the values or more are the same",
    "constant": "a vector has one value everywhere, as biases and norms have at first",
}
"""The rules, the most serious first."""


@dataclass(frozen=True, slots=True)
class Oddity:
    """One unusual property."""

    kind: Kind
    text: str
    """Its extent: how many values, how far out."""


def oddities_of(
    stats: TensorStats,
    spread: Spread | None,
    shape: Sequence[int],
    *,
    is_floating: bool = True,
) -> list[Oddity]:
    """Return unusual properties, the most serious first; none for integers."""
    return [*_of_values(stats, spread, shape)] if is_floating else []


def _of_values(
    stats: TensorStats, spread: Spread | None, shape: Sequence[int]
) -> Iterator[Oddity]:
    values = quantity(stats.n_values, "value")
    are = "is" if stats.n_values == 1 else "are"
    if stats.n_nan:
        yield Oddity("NaN", f"{stats.n_nan:,} of {values} {are} NaN")
    if stats.n_inf:
        text = f"{stats.n_inf:,} of {values} {are} infinite"
        yield Oddity("infinite", text)
    if stats.is_dead and stats.min is not None:
        is_matrix = sum(size > 1 for size in shape) > 1
        text = f"all {stats.n_values:,} values are {stats.min:.6g}"
        yield Oddity("dead" if is_matrix else "constant", text)
    elif spread is not None and stats.min is not None and stats.max is not None:
        yield from _of_spread(spread, stats.min, stats.max)


def _of_spread(spread: Spread, least: float, largest: float) -> Iterator[Oddity]:
    if spread.n_values < _FEWEST:
        return
    share = spread.n_same / spread.n_values
    if share >= 0.99:
        # Rounded down: 100 % would claim that all are.
        text = f"{math.floor(1e4 * share) / 1e4:.2%} of the values are the same"
        yield Oddity("almost constant", text)
        return
    median, reach = bulk_of(spread)
    low, high = median - _REACH * reach, median + _REACH * reach
    if least >= low and largest <= high:
        return
    n_beyond = spread.n_below(low) + spread.n_values - spread.n_below(high)
    farthest = max((least, largest), key=lambda value: abs(value - median))
    count = max(1, round(n_beyond))
    subject = quantity(count, "value")
    text = f"{subject} far out, at {farthest:.4g}; 99 % within {median - reach:.2g} "
    text += f"to {median + reach:.2g}"
    yield Oddity("outliers", text)


def bulk_of(spread: Spread) -> tuple[float, float]:
    """Return the median, and the distance from it of the middle 99 % of the values.

    Of few values at least the smallest and the largest are left out, so that they are
    not judged by themselves.
    """
    n = spread.n_values
    # Just over one: a position between two values belongs to the inner one then.
    n_out = max(1 + 1e-6, 0.005 * n)
    median = spread.value_at(n / 2)
    low, high = spread.value_at(n_out), spread.value_at(n - n_out)
    return median, max(median - low, high - median)
