"""MessagePack read token by token from a source, without reading its payloads."""

import struct
from typing import NamedTuple

from ...config.short_text import quantity, with_article
from ..errors import TRUNCATED, RecordFormatError
from ..io.source import Source

_WINDOW = 1 << 16


class Token(NamedTuple):
    """The head of a value, or all of a small one."""

    kind: str
    """"map", "list", "bytes", "text", "number", "bool" or "nil"."""
    n: int = 0
    """The number of a map's members, a list's items, or a string's bytes."""
    value: float | bool | None = None


class MessagePackWalk:
    """Reads heads one after the other; RecordFormatError for invalid ones."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.at = 0
        self._window, self._start = memoryview(b""), 0

    def token(self) -> Token:
        """Return the next token; the content of strings and bytes follows it."""
        code = self._take(1)[0]
        if code <= 0x7F:
            return Token("number", value=code)
        if code <= 0x8F:
            return self._counted("map", code & 15, 2)
        if code <= 0x9F:
            return self._counted("list", code & 15, 1)
        if code <= 0xBF:
            return self._counted("text", code & 31, 1)
        if code >= 0xE0:
            return Token("number", value=code - 256)
        if code in _COUNTED:
            kind, width, n_bytes = _COUNTED[code]
            count = int.from_bytes(self._take(width), "big")
            return self._counted(kind, count, n_bytes)
        if code in _NUMBERS:
            form = _NUMBERS[code]
            value = struct.unpack(form, self._take(struct.calcsize(form)))[0]
            return Token("number", value=value)
        if code in _CONSTANTS:
            value = _CONSTANTS[code]
            return Token("nil" if value is None else "bool", value=value)
        raise self.error(f"a value of the kind {code:#x}, which Burn does not write")

    def text(self, count: int, most: int) -> str:
        """Return the string of ``count`` bytes, at most ``most``, that begins here."""
        if count > most:
            raise self.error(
                f"a text of {quantity(count, 'byte')}", f"at most {most:,}"
            )
        try:
            return bytes(self._take(count)).decode()
        except UnicodeDecodeError as error:
            raise self.error("a text that is not UTF-8") from error

    def pass_over(self, count: int) -> int:
        """Skip ``count`` bytes; return where they began."""
        start = self.at
        self.at += count
        return start

    def trailing_bytes(self) -> memoryview:
        """Return the next two bytes, or the remaining ones."""
        return self._source.read(self.at, min(2, self._source.size - self.at))

    def skip(self) -> None:
        """Skip any value."""
        n_left = 1
        while n_left:
            token = self.token()
            n_left -= 1
            if token.kind in ("text", "bytes"):
                self.at += token.n
            n_left += token.n * {"map": 2, "list": 1}.get(token.kind, 0)

    def error(self, problem: str, expected: str = "", cure: str = "") -> Exception:
        """Return the error for a problem before the present position."""
        place = f"{problem}, before byte {self.at:,}"
        return RecordFormatError(self._source.name, place, expected, cure)

    def _counted(self, kind: str, count: int, n_bytes: int) -> Token:
        """Return the token, if so much can still follow."""
        if count * n_bytes > self._source.size - self.at:
            raise self.error(f"{with_article(kind)} of {count:,}", "less", TRUNCATED)
        return Token(kind, count)

    def _take(self, count: int) -> memoryview:
        offset = self.at - self._start
        if not 0 <= offset <= len(self._window) - count:
            if count > self._source.size - self.at:
                raise self.error("the end", "a value", TRUNCATED)
            length = min(max(count, _WINDOW), self._source.size - self.at)
            self._window, self._start = self._source.read(self.at, length), self.at
            offset = 0
        self.at += count
        return self._window[offset : offset + count]


_COUNTED: dict[int, tuple[str, int, int]] = {
    0xC4: ("bytes", 1, 1),
    0xC5: ("bytes", 2, 1),
    0xC6: ("bytes", 4, 1),
    0xD9: ("text", 1, 1),
    0xDA: ("text", 2, 1),
    0xDB: ("text", 4, 1),
    0xDC: ("list", 2, 1),
    0xDD: ("list", 4, 1),
    0xDE: ("map", 2, 2),
    0xDF: ("map", 4, 2),
}
"""Kind, bytes of the count, and minimal bytes of each counted thing."""
_NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_CONSTANTS: dict[int, bool | None] = {0xC0: None, 0xC2: False, 0xC3: True}
