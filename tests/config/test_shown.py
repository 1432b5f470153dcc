"""Values in errors: short, whatever they are."""

import pytest

from burnish.config.shown import shown


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize("value", ["x" * 10**6, list(range(10**5)), {"k": "v" * 999}])
def test_a_value_of_any_size_is_cut_off(value: object) -> None:
    assert len(shown(value)) < 70


def test_a_short_value_is_its_repr() -> None:
    assert shown({"lr": 0.1}) == "{'lr': 0.1}"


def test_what_has_no_repr_is_called_by_its_type() -> None:
    assert shown(Unprintable()) == "<Unprintable>"
    assert shown(10**5000) == "<int>"
