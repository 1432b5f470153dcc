"""A factory of something else is refused; its own errors stay its own."""

import pytest
from torch import nn

import burnish
from burnish.core import from_record

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def test_an_error_of_the_factory_is_its_own() -> None:
    data = burnish.save_record(nn.Linear(3, 3))
    assert data is not None

    def fails() -> nn.Module:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        from_record(fails, data)
    assert caught.value.__context__ is None


def test_a_factory_of_something_else_is_refused() -> None:
    data = burnish.save_record(nn.Linear(3, 3))
    assert data is not None

    with pytest.raises(TypeError, match=r"returned a dict, expected an nn\.Module"):
        from_record(dict, data)  # type: ignore[type-var]  # the error under test
