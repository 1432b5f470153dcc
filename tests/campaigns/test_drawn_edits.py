"""Drawn edits of blueprints, as many as a test may take."""

from .drawn_edits import drawn_edits


def test_what_edited_blueprints_build_does_not_depend_on_the_way() -> None:
    _, outcomes = drawn_edits(25, seed=2)

    assert outcomes.defects == {}
