"""Two parsers of plain JSON: the quick one reads only what the careful one does."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.records.errors import RecordFormatError
from burnish.records.formats.json_reader import JsonReader, quick_value
from burnish.records.source import MemorySource

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)

NUMBERS = (
    st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -0.0, 0.0, 1.0, 1e300, 5e-324, 0.1])
)


def careful(text: bytes) -> Any:
    reader = JsonReader(MemorySource(text))
    value = reader.value()
    if reader.next():
        raise reader.error("more")
    return value


@settings(max_examples=150, deadline=None)
@given(VALUES, st.booleans())
def test_both_parsers_read_the_same_value(value: Any, is_ascii: bool) -> None:
    text = json.dumps({"x": value}, ensure_ascii=is_ascii).encode("utf-8", "replace")

    assert careful(text) == {"x": value}
    assert quick_value(text, 1 << 20) in (None, {"x": value})


@settings(max_examples=150, deadline=None)
@given(VALUES | st.lists(NUMBERS | st.text(), max_size=40))
def test_flat_parts_are_read_in_one_call_as_they_are_step_by_step(value: Any) -> None:
    text = json.dumps({"x": [value, {"y": value}]}, separators=(",", ":")).encode()
    spaced = json.dumps(
        {"x": [value, {"y": value}]}, separators=(" , ", " : ")
    ).encode()

    read, read_step_by_step = careful(text), careful(spaced)

    assert read == read_step_by_step == {"x": [value, {"y": value}]}
    assert repr(read) == repr(read_step_by_step)  # 1 and 1.0 and True are equal


def test_lists_longer_than_any_window_are_read_whole() -> None:
    values = [[i, "name", True, None, i / 8, [i]] for i in range(20_000)]
    columns = [list(range(100_000)), [str(i) for i in range(100_000)]]
    text = json.dumps([values, columns], separators=(",", ":")).encode()

    assert JsonReader.of(text, "f", 1 << 30).value() == [values, columns]


def test_flat_lists_count_the_memory_that_their_values_take() -> None:
    text = b"[" + b'["",[],["a"]],' * 700_000 + b"0]"

    with pytest.raises(RecordFormatError, match="would fill over"):
        JsonReader.of(text, "f", 0).value()


@pytest.mark.parametrize(
    "text",
    [
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"[01,2]",
        b"[[1],[2],]",
        b'{"a":[1,2],"b":[1,],"c":0}',
        b'["a",nul,"b"]',
        b"[1,NaN,2]",
        b"[[1,1e999]]",
        b'{"a":{"b":1,"b":2}}',
        b"[1,123456789012345678901,2]",
        b"[1.,2]",
        b"[.5,1]",
        b"[tru]",
    ],
)
def test_flat_parts_that_are_wrong_are_refused(text: bytes) -> None:
    with pytest.raises(RecordFormatError):
        careful(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b'{"a":1}x',
        b'{"a":\xff}',
        b"[" * 100_000,
        b"",
        b'{"a":01}',
    ],
)
def test_what_is_wrong_is_left_to_the_careful_parser(text: bytes) -> None:
    assert quick_value(text, 1 << 30) is None
    with pytest.raises(RecordFormatError):
        careful(text)


def test_a_text_that_would_fill_memory_is_left_to_the_careful_parser() -> None:
    text = b"[" + b"[]," * 500_000 + b"[]]"

    assert quick_value(text, 0) is None
