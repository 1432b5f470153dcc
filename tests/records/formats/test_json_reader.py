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
