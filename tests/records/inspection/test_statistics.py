import math

import pytest
import torch

from burnish.records.inspection.statistics import StatsTable, stats_of
from burnish.records.tensors.flat_pieces import flat_pieces


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_pieces_together_have_the_statistics_of_the_whole(dtype: torch.dtype) -> None:
    # A mean far from 0 is where sums of squares lose their digits.
    values = (torch.randn(400_000) + 100).to(dtype)

    stats = stats_of(flat_pieces(values))

    wide = values.double()
    assert stats.n_values == 400_000
    assert stats.mean == pytest.approx(float(wide.mean()), rel=1e-12)
    assert stats.std == pytest.approx(float(wide.std()), rel=1e-9)
    assert (stats.min, stats.max) == (float(wide.min()), float(wide.max()))
    assert not stats.is_dead


def test_nan_and_infinities_are_counted_and_left_out_of_the_mean() -> None:
    values = torch.tensor([1.0, math.nan, math.inf, -math.inf, 3.0, 0.0])

    stats = stats_of([values[:3], values[3:]])

    assert (stats.n_nan, stats.n_inf, stats.n_zeros) == (1, 2, 1)
    assert stats.mean == pytest.approx(4 / 3)
    assert (stats.min, stats.max) == (0, 3)


def test_a_tensor_of_nothing_finite_has_no_mean() -> None:
    stats = stats_of([torch.full((3,), math.nan)])

    assert (stats.mean, stats.std, stats.min, stats.max) == (None,) * 4
    assert stats_of([]).n_values == 0


def test_complex_integer_and_truth_values_have_statistics() -> None:
    assert stats_of([torch.tensor([3 + 4j])]).max == 5
    assert stats_of([torch.tensor([1, 2, 3])]).std == 1
    assert stats_of([torch.tensor([True, False])]).n_zeros == 1


def test_a_tensor_of_one_value_everywhere_is_dead() -> None:
    assert stats_of([torch.zeros(5)]).is_dead
    assert stats_of([torch.ones(5)]).is_dead
    assert not stats_of([torch.zeros(1)]).is_dead


@pytest.mark.parametrize("size", [1e308, 1e200, 1e-200, 1e-308])
def test_values_whose_squares_are_beyond_float64_have_a_mean_and_a_deviation(
    size: float,
) -> None:
    values = torch.tensor([0.0, 0.0, 1e-3, 0.5, -1.0, 1.0], dtype=torch.float64)

    blocks = (values * size).view(3, 2)
    stats = stats_of(blocks.unbind())

    assert stats.mean == pytest.approx(float(values.mean()) * size, rel=1e-9)
    assert stats.std == pytest.approx(float(values.std()) * size, rel=1e-9)


@pytest.mark.parametrize("other", [math.inf, -math.inf, math.nan])
def test_finite_values_that_are_all_the_same_beside_others_are_not_dead(
    other: float,
) -> None:
    assert not stats_of([torch.tensor([1.0, 1.0, other])]).is_dead


@pytest.mark.parametrize(
    "values",
    [
        torch.tensor([2**53, 2**53 + 1, 2**53]),
        torch.tensor([-(2**63), 2**63 - 1]),
        torch.tensor([2**64 - 1, 2**64 - 2], dtype=torch.uint64),
    ],
)
def test_extremes_of_integers_beyond_floats_are_exact(values: torch.Tensor) -> None:
    stats = stats_of(values[i : i + 1] for i in range(len(values)))
    table = StatsTable()

    table.add("small", stats_of([torch.tensor([1, 2])]))
    table.add("large", stats)

    assert (stats.min, stats.max) == (min(values.tolist()), max(values.tolist()))
    assert not stats.is_dead
    assert table["large"] == stats
    assert table["small"].max == 2


def test_a_table_gives_back_the_statistics_of_each_tensor() -> None:
    rows = {
        "a": stats_of([torch.tensor([1.0, math.nan, 0.0])]),
        "nothing": stats_of([torch.full((3,), math.inf)]),
        "empty": stats_of([]),
    }
    table = StatsTable()
    for path, stats in rows.items():
        table.add(path, stats)

    assert dict(table) == rows
    assert "b" not in table
