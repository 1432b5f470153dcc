"""Every kind of value in MessagePack is counted as the table of limits says."""

import struct
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest

from burnish.records import RecordError, RecordFormatError
from burnish.records.formats.bounded_msgpack import (
    MessagePackReader,
    is_small,
    pack_bounded,
)
from burnish.records.limits import LIST, MAP, MEMBER, NUMBER, TEXT, WORD, text_cost

LONG = "é" * 300
NIL = b"\xc0"
SHORT = b"\xa1"

VALUES: dict[str, tuple[bytes, int]] = {
    "nil": (NIL, WORD),
    "false": (b"\xc2", WORD),
    "true": (b"\xc3", WORD),
    "the least small integer": (b"\xe0", WORD),
    "the greatest small integer": (b"\x7f", WORD),
    "0": (b"\x00", WORD),
    "-1": (b"\xff", WORD),
    "float 32": (b"\xca" + bytes(4), NUMBER),
    "float 64": (b"\xcb" + bytes(8), NUMBER),
    "uint 8": (b"\xcc\xff", NUMBER),
    "uint 16": (b"\xcd\xff\xff", NUMBER),
    "uint 32": (b"\xce" + b"\xff" * 4, NUMBER),
    "uint 64": (b"\xcf" + b"\xff" * 8, NUMBER),
    "int 8": (b"\xd0\x80", NUMBER),
    "int 16": (b"\xd1\x80\x00", NUMBER),
    "int 32": (b"\xd2\x80" + bytes(3), NUMBER),
    "int 64": (b"\xd3\x80" + bytes(7), NUMBER),
    "the shortest text": (b"\xa0", TEXT + WORD),
    "the longest of the short texts": (b"\xbf" + b"x" * 31, TEXT + WORD + 31),
    "text 8": (b"\xd9\x20" + b"x" * 32, TEXT + WORD + 32),
    "text 16": (b"\xda\x02\x58" + LONG.encode(), text_cost(LONG.encode())),
    "text 32": (b"\xdb\0\0\x02\x58" + LONG.encode(), text_cost(LONG.encode())),
    "bytes 8": (b"\xc4\x01x", TEXT + WORD + 1),
    "bytes 16": (b"\xc5\x01\x2c" + b"x" * 300, TEXT + WORD + 300),
    "bytes 32": (b"\xc6\0\0\x01\x2c" + b"x" * 300, TEXT + WORD + 300),
    "the shortest list": (b"\x90", LIST),
    "the longest of the short lists": (b"\x9f" + NIL * 15, LIST + 15 * WORD),
    "list 16": (b"\xdc\x00\x10" + NIL * 16, LIST + 16 * WORD),
    "list 32": (b"\xdd\0\0\x00\x10" + NIL * 16, LIST + 16 * WORD),
    "the shortest map": (b"\x80", MAP),
    "a map of 15": (
        b"\x8f" + b"".join(b"\xa1%c\xc0" % (97 + i) for i in range(15)),
        MAP + 15 * (MEMBER + TEXT + WORD + 1 + WORD),
    ),
    "map 16": (b"\xde\x00\x01\xa0\xc0", MAP + MEMBER + TEXT + 2 * WORD),
    "map 32": (b"\xdf\0\0\0\x01\xa0\xc0", MAP + MEMBER + TEXT + 2 * WORD),
}


def _deep(depth: int) -> Any:
    node: Any = 1
    for _ in range(depth):
        node = [node]
    return node


def many(value: bytes, least: int) -> tuple[bytes, int]:
    """Return a list of ``value`` that takes ``least`` bytes, and how many it holds."""
    n = -(-least // len(value))
    return b"\xdd" + struct.pack(">I", n) + value * n, n


def read(packed: bytes, allowance: int) -> MessagePackReader:
    reader = MessagePackReader(memoryview(packed), "f", allowance)
    reader.value()
    reader.end()
    return reader


@pytest.mark.parametrize("kind", VALUES)
def test_values_are_read_with_the_memory_that_they_take_and_not_with_less(
    kind: str,
) -> None:
    value, cost = VALUES[kind]
    # Long enough that the careful estimate, which looks at no value, is over it.
    packed, n = many(value, 2000)
    packed = b"\x92" + packed + b"\xdb" + struct.pack(">I", 4000) + b"x" * 4000
    total = 2 * LIST + n * cost + TEXT + WORD + 4000

    read(packed, total)
    with pytest.raises(RecordFormatError, match=f"over {total - 1:,} bytes of memory"):
        read(packed, total - 1)


def test_what_quick_estimates_add_up_to_refuses_no_value_that_there_is_room_for() -> (
    None
):
    value, cost = VALUES["uint 32"]
    packed, n = many(value, 1 << 18)
    data = b"\x84" + b"".join(b"\xa1" + key + packed for key in (b"a", b"b", b"c"))
    data += b"\xa1d" + many(value, 2000)[0]
    kept = 3 * (LIST + n * cost)
    total = kept + LIST + many(value, 2000)[1] * cost

    def read_members(allowance: int) -> int:
        reader = MessagePackReader(memoryview(data), "f", allowance)
        for key in reader.members():
            before = reader.spent
            reader.value()
            if key == "b":  # as the table of entries, which is not counted
                reader.settle(before)
        reader.end()
        return allowance

    assert read_members(total - LIST - n * cost)
    with pytest.raises(RecordFormatError, match="bytes of memory"):
        read_members(total - LIST - n * cost - 1)


@pytest.mark.parametrize("kind", VALUES)
def test_what_a_long_header_takes_at_most_is_never_too_little(kind: str) -> None:
    value, cost = VALUES[kind]
    packed, n = many(value, 1 << 18)

    assert not is_small(memoryview(packed), LIST + n * cost - 1)


@pytest.mark.parametrize(
    "kind",
    [
        "0",
        "the greatest small integer",
        "the longest of the short texts",
        "the shortest list",
        "the shortest map",
        "bytes 8",
    ],
)
def test_what_a_long_header_takes_at_most_is_close_for_what_headers_hold(
    kind: str,
) -> None:
    value, cost = VALUES[kind]
    packed, n = many(value, 1 << 18)

    assert is_small(memoryview(packed), (LIST + n * cost) + (WORD + 2) * len(packed))


def test_short_headers_are_taken_for_the_worst_that_their_length_can_hold() -> None:
    assert is_small(memoryview(bytes(1000)), 120_000)
    assert not is_small(memoryview(bytes(1000)), 119_999)


def test_what_is_kept_is_counted_for_the_values_that_follow() -> None:
    texts = ["x" * 200] * 20
    packed: Any = msgpack.packb({"a": texts, "b": texts})
    total = LIST + 20 * (TEXT + WORD + 200)

    def read_members(allowance: int, *, is_kept: bool) -> None:
        reader = MessagePackReader(memoryview(packed), "f", allowance)
        for _ in reader.members():
            before = reader.spent
            assert reader.value() == texts
            if not is_kept:
                reader.settle(before)
        reader.end()

    read_members(2 * total, is_kept=True)
    read_members(total, is_kept=False)
    with pytest.raises(RecordFormatError, match="bytes of memory"):
        read_members(2 * total - 1, is_kept=True)
    with pytest.raises(RecordFormatError, match="bytes of memory"):
        read_members(total - 1, is_kept=False)


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (b"\x01", "damaged header"),
        (b"\x91\x01", "damaged header"),
        (b"\x81\x01\x02", "the key 1"),
        (b"\x82\xa1a\x01\xa1a\x02", "the key 'a'"),
        (b"\x81\xa1a", "damaged header"),
        (b"\x81\xa1a\xc1", "damaged header"),
        (b"\x81\xa1a\xa1\xff", "damaged header"),
        (b"\x81\xa1a\x82\xa1b\x01\xa1b\x02", "twice"),
        (b"\x81\xa1a\xd4\x01\x00", "an extension of type 1"),
        (b"\x81\xa1a\x01\x00", "after the end"),
        (b"", "damaged header"),
    ],
)
@pytest.mark.parametrize("allowance", [600, 1 << 20], ids=["counted", "small"])
def test_what_is_no_map_of_plain_data_is_refused_counted_or_not(
    packed: bytes, problem: str, allowance: int
) -> None:
    reader = MessagePackReader(memoryview(packed), "the file", allowance)

    def read_all() -> None:
        for _ in reader.members():
            reader.value()
        reader.end()

    with pytest.raises(RecordFormatError, match=f"the file.*{problem}"):
        read_all()


def test_a_header_is_written_up_to_the_limit_and_no_longer() -> None:
    plain = {"a": "x" * 100}
    packed = pack_bounded(plain, 1000)

    assert pack_bounded(plain, len(packed)) == packed
    assert msgpack.unpackb(packed) == plain
    with pytest.raises(RecordError, match=r"take 105 bytes, but files may have 104"):
        pack_bounded(plain, len(packed) - 1)


@pytest.mark.parametrize(
    ("plain", "problem"),
    [
        ({"a": ["b", "\ud800"]}, r"a\.1: a string that is not valid Unicode"),
        ({"a": _deep(2000)}, "cannot be stored"),
    ],
)
def test_what_messagepack_cannot_hold_is_refused_in_words(
    plain: Any, problem: str
) -> None:
    with pytest.raises(RecordError, match=problem):
        pack_bounded(plain, 1000)
