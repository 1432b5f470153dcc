"""JsonReader: JSON read step by step, with memory proportional to the text."""

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from ...config.plain.codec import TAGGED_DEPTH
from ...config.tree import MAX_DEPTH
from ..entries.nodes import unique_map
from ..errors import TRUNCATED, RecordFormatError
from ..io.source import MemorySource, Source
from ..limits import LIST, MAP, MEMBER, NUMBER, TEXT, WORD, allowance, text_cost
from .long_texts import LongText, unescaped

LONGEST_TEXT = 16 << 20
"""Maximal bytes of one string, which is in memory twice while it is decoded."""

_PIECE = 1 << 20
_AHEAD = 1 << 12
"""Bytes available when a token begins: no number is longer."""
_DEEPEST = 2 * TAGGED_DEPTH + MAX_DEPTH + 8
"""Levels of lists and maps: a value may be a map around a list around its content."""

_SPACE = re.compile(rb"[ \t\r\n]*+")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)(\.[0-9]++)?([eE][+-]?[0-9]++)?")
_STRING = re.compile(rb'"(?>[^"\\\x00-\x1f]++|\\.)*+"', re.DOTALL)
_SCALAR = (
    rb'(?:"[^"\\\x00-\x1f\x80-\xff\[\]{},:]*+"|true|false|null|'
    rb"(?:-?[1-9][0-9]{0,17}+|0)(?:\.[0-9]{1,17}+)?+)"
)
_LIST = rb"\[(?:%b(?:, ?%b)*+)?+\]" % (_SCALAR, _SCALAR)
_MEMBER = rb'"[^"\\\x00-\x1f\x80-\xff\[\]{},:]*+": ?(?:%b|%b)' % (_SCALAR, _LIST)
_FLAT = re.compile(rb"%b|\{(?:%b(?:, ?%b)*+)?+\}" % (_LIST, _MEMBER, _MEMBER))
"""A list of scalars, or a map of scalars and of such lists, without escapes."""
_RUN = re.compile(rb"(?:(?:%b|%b), ?){2,}+" % (_SCALAR, _LIST))
"""Items of a list, each with the comma after it."""
_LONGEST_FLAT = 1 << 14

_WORDS = {b"t": (b"true", True), b"f": (b"false", False), b"n": (b"null", None)}


def quick_value(text: bytes, budget: int) -> Any:
    """Return the value of a whole text by the standard library's parser, in C.

    None for a text that may be large, deep, unusual or wrong, which `JsonReader` reads.
    """
    # The library accepts half a surrogate, which is always an escape, and any depth.
    if most_memory(text) > allowance(budget) or b"\\u" in text or b"[[[" in text:
        return None
    try:
        return json.loads(
            text.decode(), object_pairs_hook=unique_map, parse_constant=_refused
        )
    except (ValueError, RecursionError):
        return None


def most_memory(text: bytes) -> int:
    """Return an upper bound for the memory of the values of ``text``."""
    containers = text.count(b"{") + text.count(b"[")
    values = containers + text.count(b",") + text.count(b":")
    width = 1 if text.isascii() else 4
    return containers * MAP + values * (MEMBER + TEXT + WORD) + len(text) * width


def _flat_memory(text: bytes) -> int:
    """Return the memory of a flat list or map, or a little more."""
    n_maps, n_lists, n_texts = text.count(b"{"), text.count(b"["), text.count(b'"') // 2
    n_members = text.count(b":")
    n_others = text.count(b",") + n_maps + n_lists - (n_texts - n_members)
    return (
        n_maps * MAP
        + n_lists * LIST
        + n_members * MEMBER
        + n_texts * (TEXT + WORD)
        + n_others * NUMBER
        + len(text)
    )


def _refused(word: str) -> Any:
    raise ValueError(word)


class JsonReader:
    """A position in the text of a file, which reads advance."""

    def __init__(self, source: Source, budget: int | None = None) -> None:
        self._source = source
        self._window: LongText = b""
        self._start, self._at = 0, 0
        self._spent, self._is_file = 0, True
        self._budget = allowance(source.size if budget is None else budget)
        if bytes(source.read(0, min(3, source.size))) == b"\xef\xbb\xbf":
            self._start = 3

    @classmethod
    def of(cls, text: LongText, name: str, budget: int) -> "JsonReader":
        """Return a reader of a text in memory, which is not copied."""
        reader = cls(MemorySource(text, name=name), budget)
        reader._window, reader._at, reader._start = text, reader._start, 0
        reader._is_file = False
        return reader

    @property
    def position(self) -> int:
        """The position of the next byte in the file."""
        return self._start + self._at

    def next(self) -> bytes:
        """Return the next byte that is not a space, without reading it; b"" at end."""
        while True:
            self._look_ahead()
            self._at = self._match(_SPACE).end()
            if self._at < len(self._window) or not self._more():
                return self._window[self._at : self._at + 1]

    def take(self, byte: bytes) -> None:
        """Read ``byte``."""
        if self.next() != byte:
            raise self.error(f"expected {byte.decode()}")
        self._at += 1

    def members(self) -> Iterator[str]:
        """Return the keys of a map; each one's value must be read before the next."""
        keys: set[str] = set()
        for _ in self._items(b"{", b"}"):
            if self.next() != b'"':
                raise self.error("expected a key")
            key = self._string()
            if key in keys:
                raise self.error(f"the key {key!r:.80} twice")
            keys.add(key)
            self.spend(MEMBER)
            self.take(b":")
            yield key

    def items(self) -> Iterator[None]:
        """Yield once for each item of a list, which must be read before the next."""
        return self._items(b"[", b"]")

    def value(self) -> Any:
        """Read any value; maps have each key once, numbers are finite."""
        try:
            return self._value(0)
        except RecursionError:
            problem = "nested too deeply to be read at this call depth"
            raise self.error(problem) from None

    def _value(self, depth: int) -> Any:
        byte = self.next()
        if byte in (b"[", b"{"):
            if depth > _DEEPEST:
                raise self.error(f"nested deeper than {TAGGED_DEPTH} levels")
            match = _FLAT.match(self._window, self._at, self._at + _LONGEST_FLAT)
            flat = self._parsed(match[0], len(match[0])) if match else None
            if flat is not None:
                return flat
            if byte == b"[":
                return self._list(depth + 1)
            self.spend(MAP)
            return {key: self._value(depth + 1) for key in self.members()}
        if byte == b'"':
            return self._string()
        if byte in _WORDS:
            word, value = _WORDS[byte]
            if self._window[self._at : self._at + len(word)] != word:
                raise self.error("expected a value")
            self._at += len(word)
            self.spend(WORD)
            return value
        return self._number()

    def _list(self, depth: int) -> list[Any]:
        self.spend(LIST)
        values: list[Any] = []
        for _ in self.items():
            self.next()
            run = _RUN.match(self._window, self._at, self._at + _LONGEST_FLAT)
            if run is not None:
                text = b"".join((b"[", run[0].rstrip(b", "), b"]"))
                values += self._parsed(text, len(run[0])) or ()
            values.append(self._value(depth))
        return values

    def _parsed(self, text: bytes, length: int) -> Any:
        """Read ``length`` bytes, equivalent to ``text``; None if that may be too much.

        Files have hundreds of thousands of small lists and maps.
        """
        cost = _flat_memory(text)
        if self._spent + cost > self._budget:
            return None
        value = orjson.loads(text)
        if isinstance(value, dict) and len(value) != text.count(b":"):
            return None  # A duplicate key: the error states where.
        self._spent += cost
        self._at += length
        return value

    def skip_to(self, byte: bytes) -> int:
        """Move to the next ``byte``, whatever is before it; return its position."""
        while (at := self._window.find(byte, self._at)) < 0:
            self._at = len(self._window)
            if not self._more():
                raise self.error(f"expected {byte.decode()}")
        self._at = at
        return self.position

    @property
    def spent(self) -> int:
        """A careful estimate of the memory taken by what was read."""
        return self._spent

    def settle(self, spent: int) -> None:
        """Declare that kept values take ``spent`` bytes; the rest is free."""
        self._spent = 0
        self.spend(spent)

    def spend(self, count: int) -> None:
        """Count memory that is taken; raise if the text may not take as much."""
        self._spent += count
        if self._spent > self._budget:
            raise self.error(f"values that would take over {self._budget:,} bytes")

    def error(self, problem: str, cure: str = "") -> RecordFormatError:
        """Return the error for ``problem``, found here.

        Without a ``cure`` it mentions that a file was truncated, if it was.
        """
        return RecordFormatError(
            self._source.name,
            f"JSON that is damaged at byte {self.position:,}: {problem}",
            cure=cure or (TRUNCATED if self._is_cut() else ""),
        )

    def _is_cut(self) -> bool:
        """Return whether the file ends where no document does."""
        if not self._is_file:
            return False
        size = self._source.size
        end = bytes(self._source.read(max(0, size - 64), min(64, size)))
        return self.position >= size or not end.rstrip().endswith(b"}")

    def _items(self, opening: bytes, closing: bytes) -> Iterator[None]:
        self.take(opening)
        if self.next() != closing:
            yield
            while self.next() == b",":
                self._at += 1
                yield
        self.take(closing)

    def long_text(self) -> LongText:
        """Read a string; return it in UTF-8, padded with spaces if it is long."""
        if self.next() != b'"':
            raise self.error("expected a string")
        start, end = self._extent_of_string()
        with memoryview(self._window) as window:
            self.spend(text_cost(window[start:end]))
            try:
                return unescaped(window[start + 1 : end - 1])
            except orjson.JSONDecodeError as error:
                raise self.error(str(error)) from error

    def _extent_of_string(self) -> tuple[int, int]:
        """Read a string; return its position in the window, with its quotes."""
        while (match := _STRING.match(self._window, self._at)) is None:
            n_read_ahead = len(self._window) - self._at
            if n_read_ahead > LONGEST_TEXT or not self._more(n_read_ahead):
                raise self.error("expected a string and its end")
        self._at = match.end()
        return match.span()

    def _string(self) -> str:
        start, end = self._extent_of_string()
        text = self._window[start:end]
        self.spend(text_cost(text))
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise self.error(str(error)) from error
        return str(value)

    def _number(self) -> int | float:
        self._look_ahead()
        match = _NUMBER.match(self._window, self._at)
        if match is None or match.end() - self._at >= _AHEAD // 2:
            raise self.error("expected a value")
        self.spend(NUMBER)
        try:
            value = orjson.loads(match[0])
        except orjson.JSONDecodeError as error:
            raise self.error(str(error)) from error
        # Some tools write -0.0 as -0.
        is_whole = match[1] is None and match[2] is None and match[0] != b"-0"
        if is_whole and not isinstance(value, int):
            raise self.error("an integer of more than 64 bits")
        self._at = match.end()
        return int(value) if is_whole else float(match[0])

    def _match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        match = pattern.match(self._window, self._at)
        if match is None:
            raise self.error("an unexpected character")
        return match

    def _look_ahead(self) -> None:
        if len(self._window) - self._at < _AHEAD:
            self._more()

    def _more(self, piece: int = 0) -> bool:
        """Load the next piece of the text into the window, and drop what was read."""
        end = self._start + len(self._window)
        count = min(max(_PIECE, piece), self._source.size - end)
        if not count:
            return False
        more = self._source.read(end, count)
        self._window = b"".join((self._window[self._at :], more))
        self._start, self._at = end - (len(self._window) - count), 0
        return True
