"""Orders and names that every language of files has alike."""

import math

from hypothesis import given
from hypothesis import strategies as st

from burnish.config.plain.kinds import by_value, float_name, in_order
from burnish.config.plain.node import NON_FINITE


@given(st.floats())
def test_a_float_has_a_name_if_it_has_no_digits(value: float) -> None:
    name = float_name(value)

    if name is None:
        assert math.isfinite(value)
    else:
        assert repr(NON_FINITE[name]) == repr(abs(value) if value != value else value)


def test_sets_are_in_one_order_whatever_is_in_them() -> None:
    assert in_order({10, 9, "a", None}) == ["a", 10, 9, None]
    assert by_value({10, 9}) == [9, 10]
    assert by_value({10, "a"}) == ["a", 10]
