"""Numbers as the types that fields declare."""

import math
from typing import Any

import numpy as np
import pytest

from burnish.records.special_types import exact_float, numpy_scalar


@pytest.mark.parametrize(("hint", "value"), [(np.int8, 300), (np.bool_, 1)])
def test_a_number_that_the_type_cannot_hold_stays_as_it_is(
    hint: Any, value: int
) -> None:
    assert numpy_scalar(hint, value) is value


def test_a_float_becomes_the_nearest_of_its_precision_but_not_infinite() -> None:
    assert numpy_scalar(np.float32, 0.1) == np.float32(0.1)
    assert numpy_scalar(np.float32, 1e300) == 1e300
    assert math.isinf(numpy_scalar(np.float32, math.inf))


@pytest.mark.parametrize("value", [2**53 + 1, 10**400])
def test_an_integer_between_floats_or_beyond_them_is_none(value: int) -> None:
    assert exact_float(value) is None
    assert exact_float(2**53) == 2.0**53
