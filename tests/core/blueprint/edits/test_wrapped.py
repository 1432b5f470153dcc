from typing import Any

import pytest
from torch import nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.edits.wrapped import (
    Wrapped,
    WrappedCall,
    filled,
    holds_place,
    is_place,
)

PLACE: Blueprint[Wrapped] = Blueprint(Wrapped)
CALL = WrappedCall(nn.Linear, {"in_features": 2}, frozenset())


def test_the_place_of_a_part_is_a_blueprint_of_it_alone() -> None:
    assert is_place(PLACE)
    assert not is_place(Blueprint(nn.ReLU))
    assert not is_place(Wrapped)


@pytest.mark.parametrize("value", [PLACE, [1, PLACE], (PLACE,), {"a": {"b": [PLACE]}}])
def test_the_place_is_found_and_filled_in_containers(value: Any) -> None:
    assert holds_place(value)
    assert not holds_place(filled(value, CALL))
    assert "Linear(...)" in repr(filled(value, CALL))


def test_what_is_no_place_stays() -> None:
    other = Blueprint(nn.ReLU)

    assert filled([other, "text", None], CALL) == [other, "text", None]
