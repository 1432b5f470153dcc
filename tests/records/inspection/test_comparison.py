import math

import pytest
import torch

from burnish.records.inspection.comparison import content_sum, distance_of
from burnish.records.tensors.flat_pieces import flat_pieces

NAN = math.nan


def test_blocks_of_any_lengths_are_compared_value_by_value() -> None:
    a = torch.randn(1000)
    b = a + 0.1 * torch.randn(1000)

    distance = distance_of(torch.split(a, 7), torch.split(b, 300))

    change = (b.double() - a.double()).norm()
    assert distance.n_values == 1000
    assert distance.moved == pytest.approx(float(change / a.double().norm()))
    assert distance.max_abs == pytest.approx(
        float((a.double() - b.double()).abs().max())
    )
    assert distance.cosine == pytest.approx(
        float(torch.cosine_similarity(a.double(), b.double(), dim=0))
    )


def test_equal_tensors_are_no_distance_apart() -> None:
    a = torch.tensor([1.0, NAN, math.inf, -0.0])
    b = torch.tensor([1.0, NAN, math.inf, 0.0])

    distance = distance_of([a], [b])

    assert (distance.n_changed, distance.max_abs, distance.moved) == (0, 0, 0)
    assert distance.is_close


def test_a_value_that_became_nan_is_an_infinite_difference() -> None:
    distance = distance_of([torch.tensor([1.0, 2.0])], [torch.tensor([1.0, NAN])])

    assert distance.n_changed == 1
    assert distance.max_abs == distance.moved == math.inf
    assert distance.max_rel == 2
    assert not distance.is_close


def test_the_relative_difference_is_that_by_the_larger_value() -> None:
    distance = distance_of([torch.tensor([0.0, 1.0])], [torch.tensor([0.5, 2.0])])

    assert distance.max_rel == 1
    assert distance.changed_share == 1


def test_tolerances_decide_what_is_close() -> None:
    a, b = [torch.tensor([100.0])], [torch.tensor([101.0])]

    assert distance_of(a, b, rtol=0.01).is_close
    assert distance_of(a, b, atol=1).is_close
    assert not distance_of(a, b, rtol=0.009).is_close


def test_integers_that_float64_cannot_tell_apart_differ() -> None:
    a, b = torch.tensor([2**60]), torch.tensor([2**60 + 1])

    assert distance_of([a], [b]).n_changed == 1


def test_other_dtypes_and_complex_values_are_compared() -> None:
    a = torch.randn(50)

    assert distance_of([a], [a.double()]).n_changed == 0
    assert distance_of([a.half()], [a]).is_close is False
    assert distance_of([torch.tensor([1j])], [torch.tensor([2j])]).max_abs == 1


def test_zeros_have_no_direction() -> None:
    zeros, ones = torch.zeros(3), torch.ones(3)

    assert distance_of([zeros], [ones]).cosine is None
    assert distance_of([zeros], [ones]).moved == math.inf


def test_equal_contents_have_equal_sums() -> None:
    values = torch.randn(300_000)

    assert content_sum(flat_pieces(values)) == content_sum(torch.split(values, 999))
    assert content_sum([values]) != content_sum([values + 1])
