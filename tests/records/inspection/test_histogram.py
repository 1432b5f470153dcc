"""Histograms in little memory: of any values, however far out some lie."""

import math

import pytest
import torch

from burnish.records.inspection.histogram import Histogram, Spread
from burnish.records.tensors.flat_pieces import flat_pieces


def spread_of(values: torch.Tensor) -> Spread:
    histogram = Histogram()
    for piece in flat_pieces(values):
        histogram.add(piece)
    spread = histogram.spread()
    assert spread is not None
    return spread


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_quantiles_are_those_of_the_values_to_a_percent(dtype: torch.dtype) -> None:
    values = torch.randn(200_000).to(dtype)

    spread = spread_of(values)

    for q in (0.005, 0.3, 0.9, 0.995):
        exact = float(torch.quantile(values.double()[:100_000], q))
        assert spread.value_at(q * 200_000) == pytest.approx(exact, abs=0.05)
    assert spread.n_values == 200_000


@pytest.mark.parametrize("n", [10_000, 500_000])
def test_an_outlier_does_not_blur_the_others(n: int) -> None:
    values = torch.rand(n)
    values[17] = 1e30

    counts = spread_of(values).counts(0.0, 1.0, 10)

    assert sum(counts) == pytest.approx(n - 1, abs=1)
    assert all(0.08 * n < count < 0.12 * n for count in counts)


def test_few_values_are_told_apart_however_near_they_are() -> None:
    values = 1 + torch.arange(64) / 1e5

    counts = spread_of(values).counts(1.0, 1.0 + 64e-5, 8)

    assert all(7 <= count <= 9 for count in counts)


def test_signs_and_zeros_are_in_order() -> None:
    spread = spread_of(torch.tensor([-3.0, -1.0, -0.0, 0.0, 2.0, 4.0]))

    assert [spread.n_below(x) for x in (-2.0, -0.5, 1.0, 3.0, 9.0)] == [1, 2, 4, 5, 6]


def test_what_is_not_finite_is_left_out_and_what_is_too_large_counted_at_the_end() -> (
    None
):
    values = torch.tensor(
        [math.nan, math.inf, *[1.0] * 199, 1e300], dtype=torch.float64
    )

    spread = spread_of(values)

    assert spread.n_values == 200
    assert spread.n_below(1e38) == 199
    assert Histogram().spread() is None


@pytest.mark.parametrize(
    "values",
    [
        torch.arange(-5, 5),
        torch.tensor([True, False]),
        torch.complex(torch.ones(3), torch.ones(3)),
        torch.tensor([0.5, 1.0]).to(torch.float8_e4m3fn),
    ],
    ids=lambda values: str(values.dtype),
)
def test_every_dtype_is_counted(values: torch.Tensor) -> None:
    assert spread_of(values).n_values == values.numel()


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_values_that_float32_does_not_tell_apart_have_no_spread(size: float) -> None:
    histogram = Histogram()

    histogram.add(torch.randn(100, dtype=torch.float64) * size)

    assert histogram.spread() is None
