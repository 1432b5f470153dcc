"""What fields declare, and the defaults that stand in for them."""

import pytest
from torch import Tensor

from burnish.records import (
    Record,
)


def test_a_default_stands_in_for_a_field_that_the_file_lacks() -> None:
    class Before(Record):
        t: int

    class After(Record):
        t: int
        added: Tensor | None = None
        name: str = "new"

    back = After.load(Before(t=4).save())

    assert (back.t, back.added, back.name) == (4, None, "new")


def test_a_field_that_would_hide_a_method_is_refused_when_declared() -> None:
    with pytest.raises(
        TypeError, match="a field called 'save' would hide the attribute"
    ):

        class Bad(Record):  # pyright: ignore[reportUnusedClass]  # never made
            save: int  # type: ignore[assignment]  # what is tested
