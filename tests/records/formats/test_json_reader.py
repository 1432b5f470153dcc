"""Two parsers of plain JSON: the quick one reads only what the careful one does."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.config.plain.codec import TAGGED_DEPTH
from burnish.config.tree import MAX_DEPTH
from burnish.records.errors import RecordFormatError
from burnish.records.formats.json_reader import JsonReader, most_memory, quick_value
from burnish.records.io.source import MemorySource
from burnish.records.limits import LIST, MAP, MEMBER, NUMBER, TEXT, WORD

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


@pytest.mark.parametrize("comma", [",", ", ", " , "])
def test_the_same_values_count_the_same_memory_however_they_are_spaced(
    comma: str,
) -> None:
    texts = [comma.join(["1"] * 5_000), comma.join(['["a", 1]'] * 5_000)]
    text = f"[[{texts[0]}]{comma}[{texts[1]}]]".encode()
    reader = JsonReader.of(text, "f", 0)

    reader.value()

    exact = 5_000 * 40 + 5_000 * (80 + 75 + 40)
    assert exact < reader.spent < 1.4 * exact


def test_flat_lists_count_the_memory_that_their_values_take() -> None:
    text = b"[" + b'["",[],["a"]],' * 700_000 + b"0]"

    with pytest.raises(RecordFormatError, match="would take over"):
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


def counted(text: bytes, allowed: int, monkeypatch: pytest.MonkeyPatch) -> JsonReader:
    """Return the reader that has read ``text`` with so much memory for its values."""
    monkeypatch.setattr("burnish.records.limits.FREE", 0)
    reader = JsonReader(MemorySource(text), allowed)
    reader.value()
    return reader


COSTS = {
    "null": (b"null", WORD),
    "true": (b"true", WORD),
    "false": (b"false", WORD),
    "integer": (b"12", NUMBER),
    "float": (b"-1.5e3", NUMBER),
    "text": (b'"abc"', TEXT + WORD + 5),
    "wide text": ('"é😀"'.encode(), TEXT + WORD + 8),
    "empty list": (b"[]", LIST),
    "list": (b"[1 , null]", LIST + NUMBER + WORD),
    "empty map": (b"{}", MAP),
    "map": (
        b'{"a" : true , "b" : 1}',
        MAP + 2 * (MEMBER + TEXT + WORD + 3) + WORD + NUMBER,
    ),
}


@pytest.mark.parametrize("kind", COSTS)
def test_values_are_read_with_the_memory_that_they_take_and_not_with_less(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, cost = COSTS[kind]
    text = b"[" + b",\n".join([value] * 7) + b"]"
    least = LIST + 7 * cost
    # What is read in one call counts as a list of its own, by its length.
    most = least + 7 * (LIST + NUMBER + len(value) + 2)

    assert least <= counted(text, most, monkeypatch).spent <= most
    with pytest.raises(RecordFormatError, match=r"would take over [\d,]+ bytes"):
        counted(text, least - 1, monkeypatch)


SPACED = {kind: (v, c) for kind, (v, c) in COSTS.items() if b" " in v or b"\xc3" in v}


@pytest.mark.parametrize("kind", SPACED)
def test_values_that_are_read_step_by_step_take_what_the_table_says(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, cost = SPACED[kind]
    text = b"[ " + b" , ".join([value] * 7) + b" ]"

    assert counted(text, LIST + 7 * cost, monkeypatch).spent == LIST + 7 * cost
    with pytest.raises(RecordFormatError, match=r"would take over [\d,]+ bytes"):
        counted(text, LIST + 7 * cost - 1, monkeypatch)


@pytest.mark.parametrize("kind", COSTS)
def test_what_a_text_takes_at_most_is_never_too_little(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, _ = COSTS[kind]
    for n in (1, 2, 50):
        text = b"[" + b",".join([value] * n) + b"]"
        assert most_memory(text) >= counted(text, 1 << 20, monkeypatch).spent
    mapped = b"{%b}" % b",".join(b'"%d":%b' % (i, value) for i in range(9))
    assert most_memory(mapped) >= counted(mapped, 1 << 20, monkeypatch).spent


def test_what_is_kept_is_counted_for_the_values_that_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = counted(b"[null, null]", 200, monkeypatch)

    reader.settle(150)
    reader.spend(50)

    assert reader.spent == 200
    with pytest.raises(RecordFormatError, match="would take over 200 bytes"):
        reader.settle(201)


@pytest.mark.parametrize("piece", [64, 1 << 20])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b" \t\r\n1 ", 1),
        (b"-0", -0.0),
        (b"-0.0", -0.0),
        (b"-7", -7),
        (b"1e2", 100.0),
        (b"1E+2", 100.0),
        (b"0.5", 0.5),
        (b"9223372036854775808", 2**63),
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b'""', ""),
        (b'"\\u00e9\\n\\"\\\\\\/"', 'é\n"\\/'),
        (b'"' + b"x" * 9000 + b'"', "x" * 9000),
        (b"[" + b" " * 9000 + b"1" + b" " * 9000 + b", 2]", [1, 2]),
        (b"[]", []),
        (b"{}", {}),
        (b'{"a" : [ true,false , null ] }', {"a": [True, False, None]}),
        (b"\xef\xbb\xbf[1]", [1]),
    ],
)
def test_a_value_is_read_whatever_pieces_its_text_comes_in(
    text: bytes, value: Any, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burnish.records.formats.json_reader._PIECE", piece)
    padded = text + b" " * 9000

    found = careful(padded)

    assert found == value
    assert type(found) is type(value)
    assert repr(found) == repr(value)
    reader = JsonReader.of(padded, "f", 1 << 20)
    assert repr(reader.value()) == repr(value)
    assert reader.next() == b""
    assert reader.position == len(padded)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "at byte 0: expected a value"),
        (b"  x", "at byte 2: expected a value"),
        (b"[1 2]", "at byte 3: expected ]"),
        (b"[1,]", "at byte 3: expected a value"),
        (b"[1", "at byte 2: expected ]"),
        (b'{"a" 1}', "at byte 5: expected :"),
        (b'{"a": 1', "at byte 7: expected }"),
        (b'{"a": 1,}', "at byte 8: expected a key"),
        (b"{1: 2}", "at byte 1: expected a key"),
        (b'{"a": 1, "a": 2}', "the key 'a' twice"),
        (b'["ab', "at byte 1: expected a string and its end"),
        (b'["a\nb"]', "expected a string and its end"),
        (b'["\\x"]', "at byte 5: "),
        (b'["\xff"]', "at byte 4: "),
        (b"tru", "expected a value"),
        (b"[nul1]", "at byte 1: expected a value"),
        (b"+1", "expected a value"),
        (b".5", "expected a value"),
        (b"18446744073709551616", "at byte 0: an integer of more than 64 bits"),
        (b"-9223372036854775809", "an integer of more than 64 bits"),
        (b"1e400", "at byte 0: "),
        (b"[" * 400 + b"]" * 400, "nested deeper than 64 levels"),
        (b"\xef\xbb\xbf[x", "at byte 4: expected a value"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text: bytes, problem: str) -> None:
    with pytest.raises(RecordFormatError, match=problem):
        careful(text)


def test_a_number_has_fewer_characters_than_half_of_what_is_in_sight() -> None:
    assert careful(b"0." + b"1" * 2045) == pytest.approx(1 / 9)
    with pytest.raises(RecordFormatError, match="expected a value"):
        careful(b"0." + b"1" * 2046)


def test_a_place_is_looked_for_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.records.formats.json_reader._PIECE", 64)
    text = b'["' + b"x" * 500 + b"y" + b"x" * 500
    reader = JsonReader(MemorySource(text))
    reader.take(b"[")

    assert reader.skip_to(b"y") == 502
    assert reader.position == 502
    with pytest.raises(RecordFormatError, match="at byte 1,003: expected z"):
        reader.skip_to(b"z")


def nested(depth: int, first: bytes, last: bytes) -> bytes:
    return first * depth + b"1" + last * depth


@pytest.mark.parametrize(
    ("first", "last"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "maps"]
)
def test_lists_and_maps_nest_as_deep_as_what_is_written_may(
    first: bytes, last: bytes
) -> None:
    # A value may be a map around a list around its content; and some levels more.
    most = 2 * TAGGED_DEPTH + MAX_DEPTH + 9

    careful(nested(most, first, last))
    with pytest.raises(RecordFormatError, match="nested deeper"):
        careful(nested(most + 1, first, last))


def test_plain_json_of_usual_size_and_depth_is_read_by_the_quick_parser() -> None:
    assert quick_value(b'{"a":[[1,"x"],null]}', 0) == {"a": [[1, "x"], None]}
    for left in (b'["\\u0041"]', b"[[[1]]]"):
        assert quick_value(left, 0) is None
        assert careful(left)


def test_a_text_is_read_quickly_up_to_the_memory_that_it_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("burnish.records.limits.FREE", 0)
    text = b'{"a":[1,2,3]}'
    most = most_memory(text)

    assert quick_value(text, most) == {"a": [1, 2, 3]}
    assert quick_value(text, most - 1) is None
