"""Integers of any length as digits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.config.plain.digits import MOST_DIGITS, digits_of, integer_of, is_digits


@given(st.integers() | st.integers(0, 900).map(lambda n: 7 * 10**n))
def test_digits_come_back_as_the_integer(value: int) -> None:
    digits = digits_of(value, "a")

    assert integer_of(digits) == value
    assert is_digits(digits) or value == 0


def test_too_many_digits_are_refused_by_path() -> None:
    with pytest.raises(TypeError, match="a: an int of over 4,000 digits"):
        digits_of(10**MOST_DIGITS, "a")
