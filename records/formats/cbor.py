"""CBOR as Burn writes it: a reader with bounded memory, and a writer.

Of RFC 8949 it supports integers of up to 64 bits, floats, strings, booleans, nil, and
lists and maps of definite length; the writer uses the shortest form of each.
"""

import math
import struct
from typing import Any

from ...config.short_text import quantity
from ..errors import TRUNCATED, RecordFormatError

_NOUNS = (
    "a number",
    "a negative number",
    "bytes",
    "a text",
    "a list",
    "a map",
    "a tag",
    "a plain value",
)
"""The types of values, by their first three bits."""

_NUMBER, _NEGATIVE, _TEXT, _LIST, _MAP, _PLAIN = 0, 1, 3, 4, 5, 7

_MOST_DEPTH = 128
"""Maximal nesting depth, as for Burn's own reader."""

_CONSTANTS: dict[int, bool | None] = {20: False, 21: True, 22: None, 23: None}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}


class CborReader:
    """Reads one value after the other; RecordFormatError for unexpected content.

    Only returned values are in memory: lengths are checked before a byte of their
    content is read.
    """

    def __init__(self, data: memoryview, file: str) -> None:
        self._data, self._file, self._at = data, file, 0

    def unsigned(self) -> int:
        """Return a non-negative integer."""
        return self._argument(_NUMBER)

    def text(self, most_bytes: int) -> str:
        """Return a string of at most ``most_bytes`` bytes."""
        length = self._argument(_TEXT)
        if length > most_bytes:
            raise self.error(
                f"a text of {quantity(length, 'byte')}", f"at most {most_bytes:,}"
            )
        try:
            return bytes(self._bytes(length)).decode()
        except UnicodeDecodeError as error:
            raise self.error("a text that is not UTF-8") from error

    def is_text(self) -> bool:
        """Return whether the next value is a string."""
        return self._peek() >> 5 == _TEXT

    def n_items(self) -> int:
        """Return the number of values of the list that begins here."""
        return self._count(_LIST, 1)

    def n_members(self) -> int:
        """Return the number of pairs of the map that begins here."""
        return self._count(_MAP, 2)

    def scalar(self) -> int | float | bool | None:
        """Return a number, a boolean or nil."""
        major, info = self._peek() >> 5, self._peek() & 31
        if major == _NUMBER:
            return self._argument(_NUMBER)
        if major == _NEGATIVE:
            return -1 - self._argument(_NEGATIVE)
        if major == _PLAIN and info in _CONSTANTS:
            self._at += 1
            return _CONSTANTS[info]
        if major == _PLAIN and info in _FLOATS:
            self._at += 1
            form = _FLOATS[info]
            value: float = struct.unpack(form, self._bytes(struct.calcsize(form)))[0]
            return value
        raise self.error(_NOUNS[major], "a number or a boolean")

    def skip(self) -> None:
        """Skip any value."""
        # The number of values left at each level.
        levels = [1]
        while levels:
            if not levels[-1]:
                levels.pop()
                continue
            levels[-1] -= 1
            n_inside = self._skip_head()
            if n_inside and len(levels) >= _MOST_DEPTH:
                raise self.error(f"values nested deeper than {_MOST_DEPTH} levels")
            if n_inside:
                levels.append(n_inside)

    def end(self) -> None:
        """Raise unless everything was read."""
        if self._at != len(self._data):
            raise self.error("bytes after the end of the metadata")

    def error(self, problem: str, expected: str = "", cure: str = "") -> Exception:
        """Return the error for a problem before the present position."""
        place = f"{problem}, in the metadata before byte {self._at:,}"
        return RecordFormatError(self._file, place, expected, cure)

    def _skip_head(self) -> int:
        """Skip a value up to those in it; return their number."""
        major, info = self._peek() >> 5, self._peek() & 31
        if major == _PLAIN:
            self.scalar()
            return 0
        argument = self._argument(major)
        if major in (2, _TEXT):
            self._bytes(argument)
        if info > 27 or major == 6:
            return 1
        return {_LIST: argument, _MAP: 2 * argument}.get(major, 0)

    def _count(self, major: int, n_bytes: int) -> int:
        count = self._argument(major)
        if count * n_bytes > len(self._data) - self._at:
            raise self.error(f"{_NOUNS[major]} of {count:,}", cure=TRUNCATED)
        return count

    def _argument(self, major: int) -> int:
        head = self._peek()
        if head >> 5 != major:
            raise self.error(_NOUNS[head >> 5], _NOUNS[major])
        self._at += 1
        info = head & 31
        if info < 24:
            return info
        if info > 27:
            raise self.error(f"{_NOUNS[major]} without a length")
        return int.from_bytes(self._bytes(1 << info - 24), "big")

    def _peek(self) -> int:
        if self._at >= len(self._data):
            raise self.error("the end", "a value", TRUNCATED)
        return self._data[self._at]

    def _bytes(self, count: int) -> memoryview:
        if count > len(self._data) - self._at:
            raise self.error(f"{quantity(count, 'byte')} announced", "fewer", TRUNCATED)
        self._at += count
        return self._data[self._at - count : self._at]


def packed(node: object) -> bytes:
    """Return ``node`` as CBOR: dicts, lists, strings, numbers, booleans and nil."""
    parts: list[bytes] = []
    _pack(node, parts)
    return b"".join(parts)


def _pack(node: Any, parts: list[bytes]) -> None:
    if isinstance(node, dict):
        parts.append(_head(_MAP, len(node)))  # pyright: ignore[reportUnknownArgumentType]  # any map
        for key, value in node.items():  # pyright: ignore[reportUnknownVariableType]  # any map
            _pack(key, parts)
            _pack(value, parts)
    elif isinstance(node, list):
        parts.append(_head(_LIST, len(node)))  # pyright: ignore[reportUnknownArgumentType]  # any list
        for item in node:  # pyright: ignore[reportUnknownVariableType]  # any list
            _pack(item, parts)
    elif isinstance(node, str):
        text = node.encode()
        parts += [_head(_TEXT, len(text)), text]
    elif node is None or isinstance(node, bool):
        parts.append(bytes([0xE0 | {False: 20, True: 21, None: 22}[node]]))
    elif isinstance(node, float):
        parts.append(_packed_float(node))
    else:
        parts.append(_head(_NUMBER, node) if node >= 0 else _head(_NEGATIVE, -1 - node))


def _packed_float(value: float) -> bytes:
    """Return the shortest form that has the same value."""
    for info, form in _FLOATS.items():
        try:
            raw = struct.pack(form, value)
        except OverflowError:
            continue
        is_exact = struct.unpack(form, raw)[0] == value or math.isnan(value)
        if is_exact:
            return bytes([0xE0 | info]) + raw
    raise ValueError(f"not a float: {value!r}")


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    for info, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if argument < 1 << 8 * struct.calcsize(form):
            return bytes([major << 5 | info]) + struct.pack(form, argument)
    raise ValueError(f"a number of over 64 bits: {argument}")
