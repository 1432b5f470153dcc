"""Drawn constructors, as many as a test may take."""

from .constructors import constructors


def test_drawn_constructors_are_built_and_configured_as_by_hand() -> None:
    figures, outcomes = constructors(40, seed=5)

    assert outcomes.defects == {}
    assert figures["reopened in another process"] == 40
