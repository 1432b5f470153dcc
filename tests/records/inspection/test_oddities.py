"""What is called odd, and what is not: fresh and trained weights are fine."""

import math

import pytest
import torch

from burnish.records.inspection.histogram import Histogram
from burnish.records.inspection.oddities import RULES, Oddity, oddities_of
from burnish.records.inspection.statistics import stats_of


def kinds_of(values: torch.Tensor) -> list[str]:
    return [oddity.kind for oddity in oddities_in(values)]


def text_of(values: torch.Tensor) -> str:
    return oddities_in(values)[0].text


def oddities_in(values: torch.Tensor) -> list[Oddity]:
    histogram = Histogram()
    histogram.add(values.reshape(-1))
    oddities = oddities_of(
        stats_of([values.reshape(-1)]),
        histogram.spread(),
        values.shape,
        is_floating=values.is_floating_point(),
    )
    assert all(oddity.kind in RULES for oddity in oddities)
    return oddities


@pytest.mark.parametrize(
    "values",
    [
        torch.randn(300, 300),
        torch.rand(64),
        torch.distributions.Laplace(0.0, 1.0).sample(torch.Size([10_000])),
        torch.nn.functional.dropout(torch.randn(100, 100), 0.9),
        torch.tensor([3.0]),
        torch.tensor([0.0, 0.0, 900.0]),
        torch.zeros(4, 4, dtype=torch.int64),
        torch.ones(8, 8).tril().bool(),
        torch.empty(0, 4),
    ],
    ids=["normal", "few", "laplace", "sparse", "one", "three", "ints", "mask", "empty"],
)
def test_ordinary_values_are_not_odd(values: torch.Tensor) -> None:
    assert kinds_of(values) == []


def test_a_matrix_of_one_value_is_dead_and_a_vector_constant() -> None:
    assert kinds_of(torch.zeros(4, 4)) == ["dead"]
    assert kinds_of(torch.full((2, 3, 3), 0.5)) == ["dead"]
    assert kinds_of(torch.ones(7)) == ["constant"]
    assert kinds_of(torch.ones(1, 7)) == ["constant"]


@pytest.mark.parametrize("n", [10, 100, 100_000])
def test_one_value_far_out_is_an_outlier_among_few_and_many(n: int) -> None:
    values = torch.randn(n)
    values[3] = -500

    assert kinds_of(values) == ["outliers"]


def test_nan_and_infinities_come_first() -> None:
    values = torch.randn(100)
    values[:2] = torch.tensor([math.nan, math.inf])
    values[2] = 1e6

    assert kinds_of(values) == ["NaN", "infinite", "outliers"]


@pytest.mark.parametrize("n", [1000, 300_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_values_of_which_nearly_all_are_the_same_are_said_to_be_so(
    n: int, dtype: torch.dtype
) -> None:
    values = torch.full((n,), 1 / 3, dtype=dtype)
    values[:3] = 1

    assert kinds_of(values) == ["almost constant"]
    assert "100.00%" not in text_of(values)


@pytest.mark.parametrize("n", [1000, 300_000])
@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.float32, 1e-4), (torch.float64, 1e-12)]
)
def test_values_that_are_only_alike_are_not_said_to_be_the_same(
    n: int, dtype: torch.dtype, size: float
) -> None:
    values = 1.003 + size * torch.rand(n, dtype=dtype)

    assert kinds_of(values) == []


def test_the_same_values_are_found_behind_others() -> None:
    blocks = [torch.randn(2000), *[torch.zeros(100_000)] * 3]
    histogram = Histogram()
    for block in blocks:
        histogram.add(block)

    spread = histogram.spread()

    assert spread is not None
    assert spread.n_same == 300_000
