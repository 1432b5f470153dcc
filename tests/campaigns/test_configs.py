"""The configs' campaign, as much of it as a test may take."""

import pytest

from .configs import CASES, configs


@pytest.mark.parametrize("name", [name for name in CASES if name != "class pairs"])
def test_drawn_configs_come_back_and_broken_texts_end_in_words(name: str) -> None:
    _, outcomes = configs(name, 40, seed=3)

    assert outcomes.defects == {}
