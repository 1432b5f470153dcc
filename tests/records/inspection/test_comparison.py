import math
from fractions import Fraction

import pytest
import torch

from burnish.records.inspection.comparison import content_sum, distance_of
from burnish.records.tensors.dtypes import BY_NAME
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


@pytest.mark.parametrize(
    ("a", "b", "n_changed"),
    [
        (complex(NAN, 1), complex(NAN, 1), 0),
        (complex(NAN, NAN), complex(NAN, NAN), 0),
        (complex(NAN, 1), complex(NAN, 2), 1),
        (complex(1, NAN), complex(2, NAN), 1),
        (complex(NAN, 1), complex(1, NAN), 1),
    ],
)
def test_complex_nans_are_equal_if_both_their_parts_are(
    a: complex, b: complex, n_changed: int
) -> None:
    distance = distance_of([torch.tensor([a, 1j])], [torch.tensor([b, 1j])])

    assert distance.n_changed == n_changed
    assert distance.is_close is (n_changed == 0)


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


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint64])
def test_large_integers_are_compared_exactly(dtype: torch.dtype) -> None:
    a = torch.arange(5) + 2**60
    distance = distance_of([a.to(dtype)], [(a + 1).to(dtype)], rtol=0, atol=0.5)

    assert (distance.n_changed, distance.max_abs) == (5, 1)
    assert distance.moved > 0
    assert not distance.is_close
    assert distance_of([a.to(dtype)], [(a + 1).to(dtype)], atol=1).is_close


def test_integers_are_compared_exactly_with_numbers_of_other_dtypes() -> None:
    large = torch.tensor([2**64 - 1, 0], dtype=torch.uint64)
    signed = torch.tensor([-1, 2**60 + 1])
    halved = torch.tensor([2.0**60, 2.0**60], dtype=torch.float64)

    assert distance_of([large[:1]], [signed[:1]]).max_abs == 2.0**64
    assert distance_of([large[:1]], [torch.tensor([2**63 - 1])]).max_abs == 2.0**63
    assert distance_of([signed[1:]], [halved[1:]]).max_abs == 1
    assert distance_of([halved[:1]], [torch.tensor([2**60])]).n_changed == 0
    assert distance_of([torch.tensor([-3])], [torch.tensor([5])]).max_abs == 8


@pytest.mark.parametrize("integer", [-1, 1, 0, -(2**40), 2**53 + 1, -(2**63)])
@pytest.mark.parametrize("beyond", [1e-7, -1e-13, 0.25, math.inf])
def test_integers_are_compared_exactly_with_fractions(
    integer: int, beyond: float
) -> None:
    number = integer + beyond
    pair = [torch.tensor([integer])], [torch.tensor([number], dtype=torch.float64)]

    exact = math.inf if math.isinf(beyond) else abs(Fraction(number) - integer)
    for distance in (distance_of(*pair), distance_of(*reversed(pair))):
        assert distance.max_abs == float(exact)
        assert distance.is_close == (exact == 0)


@pytest.mark.parametrize("size", [1e300, 1e-300, 1.7e308, 5e-324])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_largest_and_the_smallest_numbers_have_distances(
    size: float, dtype: torch.dtype
) -> None:
    a = torch.tensor([size], dtype=dtype)

    distance = distance_of([a], [-a])

    assert distance.moved == pytest.approx(2)
    assert distance.cosine == pytest.approx(-1)
    assert distance_of([a], [a]).cosine == pytest.approx(1)
    assert distance_of([a, torch.ones(1)], [a, torch.zeros(1)]).moved == pytest.approx(
        1 / max(1, size)
    )


@pytest.mark.filterwarnings("ignore:ComplexHalf support")
@pytest.mark.parametrize("name", [*BY_NAME])
def test_each_dtype_is_compared_with_itself_and_with_every_other(name: str) -> None:
    values = torch.tensor([1, 0, 1, 1], dtype=torch.uint8)
    a = values.to(BY_NAME[name])
    assert distance_of([a], [a.clone()], atol=0).n_changed == 0
    for other, dtype in BY_NAME.items():
        if "e8m0" not in name + other:
            assert distance_of([a], [values.to(dtype)]).n_changed == 0, other
            assert distance_of([a], [(1 - values).to(dtype)]).max_abs == 1, other
        else:
            distance_of([a], [values.to(dtype)])


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
