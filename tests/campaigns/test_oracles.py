"""Shipped optimizers beside torch's, a few combinations; `make fuzz` takes all."""

import pytest

from .oracles import CASES, outcome

SOME = [n for n, (*_, fused) in enumerate(CASES) if not fused][::23]


@pytest.mark.parametrize("number", SOME)
def test_a_combination_of_options_gives_torchs_parameters(number: int) -> None:
    assert outcome(20, number) == "e"
