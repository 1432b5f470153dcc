"""Every pair of floating dtypes and every special value, against exact arithmetic."""

import itertools
import math
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
import torch

from burnish.records import (
    Entry,
    FlatRecord,
    Precision,
    PrecisionError,
    Record,
    open_record,
)
from burnish.records.tensors.dtypes import BY_NAME


class Shape(NamedTuple):
    """What the values of a dtype are, as its standard has it."""

    fraction_bits: int
    least_exponent: int
    """Of the smallest normal value."""
    largest: Fraction
    has_infinity: bool = True
    is_positive: bool = False
    """Whether there are neither negative values nor a zero."""


SHAPES = {
    "float64": Shape(52, -1022, (2 - Fraction(1, 2**52)) * 2**1023),
    "float32": Shape(23, -126, (2 - Fraction(1, 2**23)) * 2**127),
    "bfloat16": Shape(7, -126, (2 - Fraction(1, 2**7)) * 2**127),
    "float16": Shape(10, -14, Fraction(65504)),
    "float8_e5m2": Shape(2, -14, Fraction(57344)),
    "float8_e4m3fn": Shape(3, -6, Fraction(448), has_infinity=False),
    "float8_e4m3fnuz": Shape(3, -7, Fraction(240), has_infinity=False),
    "float8_e5m2fnuz": Shape(2, -15, Fraction(57344), has_infinity=False),
    "float8_e8m0fnu": Shape(0, -127, Fraction(2**127), False, is_positive=True),
}
NAMES = [name for name in SHAPES if name in BY_NAME]


def rounded(value: Fraction, shape: Shape) -> Fraction | None:
    """Return the nearest value, the even one of two; None if it is beyond the range."""
    if value <= 0 and shape.is_positive:
        return None
    if not value:
        return value
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    unit = Fraction(2) ** (max(exponent, shape.least_exponent) - shape.fraction_bits)
    count = size / unit
    whole, rest = count.__floor__(), count - count.__floor__()
    # Values of exponents alone have no even neighbor: torch takes the larger.
    up = rest > Fraction(1, 2) or (
        rest == Fraction(1, 2) and (whole % 2 == 1 or shape.is_positive)
    )
    result = (whole + up) * unit
    if shape.is_positive and not result:
        result = unit
    if result > shape.largest:
        return None
    return result if value > 0 else -result


def specials(shape: Shape) -> list[float]:
    """Return the values at the edges of a dtype, as far as float64 has them."""
    least = Fraction(2) ** (shape.least_exponent - shape.fraction_bits)
    exponent = math.frexp(float(shape.largest))[1] - 1
    step = Fraction(2) ** (exponent - shape.fraction_bits)
    edges: list[float] = []
    for edge in (shape.largest, shape.largest + step / 2, shape.largest + step, least):
        if edge <= SHAPES["float64"].largest:
            near = float(edge)
            edges += (near, math.nextafter(near, 0), math.nextafter(near, math.inf))
    halves = [float(least / 2), float(least * 3 / 4), float(least / 4)]
    return [*edges, *halves, *(float(least * n / 2) for n in (3, 5))]


def inputs(source: str) -> torch.Tensor:
    """Return every special value of every dtype, those that ``source`` can hold."""
    known = {1.0, 1.5, 3.0, 0.1, 0.0}
    for name in NAMES:
        known.update(specials(SHAPES[name]))
    values = [x for v in sorted(known) for x in (v, -v)] + [math.inf, -math.inf]
    shape, kept = SHAPES[source], []
    for value in values:
        if math.isinf(value):
            exact = shape.has_infinity
        elif shape.is_positive and value <= 0:
            exact = False
        else:
            exact = rounded(Fraction(value), shape) == Fraction(value)
        kept += [value] * exact
    wide = torch.tensor([*kept, math.nan], dtype=torch.float64)
    return wide.to(BY_NAME[source])


def expected(value: float, source: str, target: str, overflow: str) -> float | None:
    """Return what ``value`` becomes; None for an error."""
    shape = SHAPES[target]
    if math.isnan(value) or (math.isinf(value) and shape.has_infinity):
        return value
    if not math.isinf(value):
        result = rounded(Fraction(value), shape)
        if result is not None and source == "float64" and target != "float64":
            # Torch rounds doubles to float32 first, and so do we.
            by_float32 = rounded(Fraction(value), SHAPES["float32"])
            again = None if by_float32 is None else rounded(by_float32, shape)
            result = result if again is None else again
        if result is not None:
            return float(result)
    if overflow == "error":
        return None
    if overflow == "allow":
        return math.copysign(math.inf, value) if shape.has_infinity else math.nan
    if shape.is_positive and value <= 0:
        return 2.0**shape.least_exponent
    return math.copysign(float(shape.largest), value)


def same(found: float, wanted: float) -> bool:
    return found == wanted or (math.isnan(found) and math.isnan(wanted))


def entry_of(values: torch.Tensor, kind: Any = "parameter") -> FlatRecord:
    entry = Entry("w", kind, values.dtype, tuple(values.shape), values)
    return Record.from_entries([entry])


def as_doubles(values: torch.Tensor) -> list[float]:
    if values.dtype is torch.float64:
        return values.tolist()
    return values.to(torch.float32).tolist()


@pytest.mark.parametrize("overflow", ["error", "saturate", "allow"])
@pytest.mark.parametrize(("source", "target"), [*itertools.product(NAMES, NAMES)])
def test_every_special_value_is_stored_in_every_dtype_as_arithmetic_has_it(
    source: str, target: str, overflow: Any
) -> None:
    values = inputs(source)
    wanted = [expected(v, source, target, overflow) for v in as_doubles(values)]
    if source == target:
        wanted = list(as_doubles(values))
    fits = [i for i, value in enumerate(wanted) if value is not None]
    precision = Precision(param=BY_NAME[target], overflow=overflow)
    chosen = values.view(torch.uint8 if values.itemsize == 1 else values.dtype)[fits]

    data = entry_of(chosen.view(values.dtype)).save(precision=precision)

    stored = as_doubles(open_record(data)["w"])
    for i, found in zip(fits, stored, strict=True):
        value, result = as_doubles(values)[i], wanted[i]
        assert result is not None
        assert same(found, result), (value, found, result)


@pytest.mark.parametrize(("source", "target"), [*itertools.product(NAMES, NAMES)])
def test_each_value_that_a_dtype_cannot_hold_is_refused_on_saving_and_loading(
    source: str, target: str
) -> None:
    if source == target:
        return
    values, dtype = inputs(source), BY_NAME[target]

    for i, value in enumerate(as_doubles(values)):
        if expected(value, source, target, "error") is not None:
            continue
        record = entry_of(values[i : i + 1])
        with pytest.raises(PrecisionError, match="w: ") as caught:
            record.save(precision=dtype)
        assert caught.value.value == value
        with pytest.raises(PrecisionError, match=r"w: .*dtype='stored'"):
            open_record(record.save(), dtype=dtype)["w"]


@pytest.mark.parametrize(("source", "target"), [*itertools.product(NAMES, NAMES)])
def test_loading_converts_between_every_pair_of_dtypes_as_saving_does(
    source: str, target: str
) -> None:
    values = inputs(source)
    wanted = [expected(v, source, target, "error") for v in as_doubles(values)]
    if source == target:
        wanted = list(as_doubles(values))
    fits = [i for i, value in enumerate(wanted) if value is not None]
    raw = values.view(torch.uint8) if values.itemsize == 1 else values
    data = entry_of(raw[fits].view(values.dtype)).save()

    found = open_record(data, dtype=BY_NAME[target])["w"]

    assert found.dtype is BY_NAME[target]
    for i, value in zip(fits, as_doubles(found), strict=True):
        result = wanted[i]
        assert result is not None
        assert same(value, result)


def test_a_dtype_of_half_bytes_is_no_precision() -> None:
    dtype = getattr(torch, "float4_e2m1fn_x2", None)
    if dtype is None:
        pytest.skip("this torch has no dtype of half bytes")

    with pytest.raises(ValueError, match="values are not whole bytes"):
        Precision(param=dtype)
    with pytest.raises(ValueError, match="values are not whole bytes"):
        open_record(entry_of(torch.ones(2)).save(), dtype=dtype)
