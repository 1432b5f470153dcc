"""Values in errors: short, whatever they are."""

import re
from pathlib import Path

import pytest

from burnish.config.short_text import short_repr, with_article


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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("int", "an int"),
        ("dict", "a dict"),
        ("Adam", "an Adam"),
        ("SGD", "an SGD"),
        ("MLP", "an MLP"),
        ("NAdam", "an NAdam"),
        ("LAMB", "a LAMB"),
        ("GRU", "a GRU"),
        ("UNet", "a UNet"),
        ("uint8", "a uint8"),
        ("UpBlock", "an UpBlock"),
        ("_Inner", "an _Inner"),
        ("'embed'", "an 'embed'"),
        ("", "a "),
    ],
)
def test_an_article_follows_the_sound_of_the_name(name: str, text: str) -> None:
    assert with_article(name) == text


BY_HAND = re.compile(r'\bf"[^"\n]*(?<![\w-])an? \{|(?<![\w-])an? "\s*f"\{')


def test_no_text_has_an_article_before_a_name_but_by_this_function() -> None:
    root = Path(__file__).parent.parent.parent
    folders = ("config", "records", "core", "optim", "train", "cli")

    by_hand = {
        str(file.relative_to(root)): match[0]
        for folder in folders
        for file in (root / folder).rglob("*.py")
        if (match := BY_HAND.search(file.read_text()))
    }

    assert by_hand.keys() == {"config/short_text.py"}
