"""Values in errors: short, whatever they are."""

import pytest

from burnish.config.short_text import short_repr


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize("value", ["x" * 10**6, list(range(10**5)), {"k": "v" * 999}])
def test_a_value_of_any_size_is_cut_off(value: object) -> None:
    assert len(short_repr(value)) < 70


def test_a_value_of_any_depth_is_cut_off() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]

    assert short_repr(deep) == "[[[[...]]]]"
    assert len(short_repr([["x" * 10**6] * 9] * 9)) < 70


def test_a_short_value_is_its_repr() -> None:
    assert short_repr({"lr": 0.1}) == "{'lr': 0.1}"
    assert short_repr({"b": [[1, 2], {"y": 3, "x": ()}]}) == (
        "{'b': [[1, 2], {'y': 3, 'x': ()}]}"
    )


def test_what_has_no_repr_is_called_by_its_type() -> None:
    assert short_repr(Unprintable()) == "<Unprintable>"
    assert short_repr(10**5000) == "<int>"
