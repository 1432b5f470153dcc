"""The walk over values, in a language of two kinds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.config.plain.codec import Decoding, Encoding, Kind, Language
from burnish.config.plain.kinds import lists, sequence, tagged, unmarked

LANGUAGE = Language(
    [
        lists(),
        sequence("#set", set, set, sorted),
        tagged("#complex", complex, lambda z: [z.real, z.imag], lambda z: complex(*z)),
        Kind(
            types=dict,
            encode=lambda walk, value, path, depth: walk.fields(value, path, depth),
            is_deep=True,
        ),
    ],
    as_they_are=(type(None), bool, str, float),
)


def encode(value: Any) -> Any:
    return Encoding(LANGUAGE).encode(value, "a")


plain = st.none() | st.booleans() | st.text() | st.integers(-9, 9) | st.sets(st.text())
values = st.recursive(
    plain | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=10,
)


@given(st.lists(values) | st.dictionaries(st.text(max_size=2), values))
def test_values_come_back_as_what_they_were(value: Any) -> None:
    assert Decoding(LANGUAGE.decoders).decode(encode(value)) == value


def test_an_error_names_the_path_of_what_is_no_data() -> None:
    with pytest.raises(TypeError, match=r"a\.b\.1: a bytes cannot be stored"):
        encode({"b": [1, b""]})


def test_values_within_themselves_are_refused() -> None:
    value: list[Any] = []
    value.append(value)

    with pytest.raises(TypeError, match="nested deeper than 64 levels"):
        encode(value)


def test_nodes_are_read_deeper_than_they_are_written() -> None:
    node: Any = 1
    for _ in range(100):
        node = [node]

    assert Decoding(LANGUAGE.decoders).decode(node) == node
    for _ in range(40):
        node = [node]
    with pytest.raises(ValueError, match="nested deeper than 128 levels"):
        Decoding(LANGUAGE.decoders).decode(node)


def test_plain_items_ask_nobody_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[type] = []
    monkeypatch.setattr(Language, "kind_of", lambda self, cls: asked.append(cls))

    assert encode([[1, 0.5, "x"] * 100]) == [[1, 0.5, "x"] * 100]
    assert not asked


def test_the_first_kind_that_takes_a_value_has_it() -> None:
    class Text(str):
        pass

    language = Language([unmarked(str, len), unmarked(object)], as_they_are=())

    assert Encoding(language).encode(Text("abc"), "") == 3
    assert Encoding(language).encode(0.5, "") == 0.5


def test_an_exact_kind_leaves_subclasses_to_the_next() -> None:
    class Items(list[int]):
        pass

    language = Language([lists(is_exact=True), unmarked(list, len)], as_they_are=(int,))

    assert Encoding(language).encode([1, 2], "") == [1, 2]
    assert Encoding(language).encode(Items([1, 2]), "") == 2
