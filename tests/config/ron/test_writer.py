"""RON is written as its writers write it."""

import math
from typing import Any

import pytest

from burnish.config import ConfigError
from burnish.config.ron import write
from burnish.config.tree import NamedStruct


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (1, "1"),
        (1.0, "1.0"),
        (True, "true"),
        (None, "None"),
        ([], "[]"),
        ({"a": 1}, '{\n    "a": 1,\n}'),
        ((1, (2, [3])), "(1, (2, [\n    3,\n]))"),
        (NamedStruct("N", {"a": 1, "b": []}), "N(\n    a: 1,\n    b: [],\n)"),
        (NamedStruct("E"), "E()"),
        (1e-7, "0.0000001"),
        (1e20, "100000000000000000000.0"),
        (-0.0, "-0.0"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "NaN"),
        ((), "()"),
        ((1,), "(1,)"),
        ({}, "{}"),
        ('a"\\\n\x01é', '"a\\"\\\\\\n\\u{1}é"'),
    ],
)
def test_the_writer_writes_what_ron_writers_write(tree: Any, text: str) -> None:
    assert write(tree) == text


def test_writing_what_holds_itself_is_an_error() -> None:
    circle: list[Any] = []
    circle.append(circle)

    with pytest.raises(ConfigError, match="128 levels"):
        write(circle)
