"""RON text as tokens: the start, kind and value of each."""

import re
from typing import Any, NoReturn

from ..errors import ConfigSyntaxError
from ..short_text import short_repr
from ..tree import MAX_INT_BITS, BeyondFloatError, finite

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n\ufeff]+|//[^\n]*)
  | (?P<string>"[^"\\]*(?:\\.[^"\\]*)*")
  | (?P<number>
        (?:[+-]?(?:0x[0-9A-Fa-f_]+|0b[01_]+|0o[0-7_]+)(?:[iu](?:8|16|32|64|128|size))?
          |[+-]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?
           (?:[iu](?:8|16|32|64|128|size)|f(?:32|64))?)
        (?![\w.]))
  | (?P<signed>[+-](?:inf|NaN)\b)
  | (?P<raw>r(?P<hashes>\#*)"(?P<text>.*?)"(?P=hashes))
  | (?P<ident>r\#[\w.+-]+|[^\W\d]\w*)
  | (?P<mark>[()\[\]{},:])
  | (?P<char>'(?:[^'\\]|\\(?:u\{[0-9A-Fa-f_]+\}|x[0-9A-Fa-f]{2}|.))')
  | (?P<attribute>\#!\[[^\]\n]*\])
  | (?P<block>/\*)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")
_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f_]+)\}|x([0-9A-Fa-f]{2})|\r?\n\s*|(.))", re.S)
_PLAIN = {
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "0": "\0",
    "b": "\b",
    "f": "\f",
    "\\": "\\",
    '"': '"',
    "'": "'",
    "/": "/",
}
_EXTENSIONS = {"implicit_some", "unwrap_newtypes", "unwrap_variant_newtypes"}
_MARKS = frozenset(".eE")
"""Characters that only numbers with a point or an exponent have."""
_BASES = {"0x": 16, "0b": 2, "0o": 8}
_SUFFIX = re.compile(r"([iu](?:8|16|32|64|128|size)|f(?:32|64))$")


class Scanner:
    """Tokens of ``text``, one at a time: the current `kind`, `value` and `start`.

    A kind is ``value`` (strings and numbers), ``ident``, ``end``, or the mark itself.
    """

    __slots__ = ("_end", "comment_starts", "kind", "start", "text", "value")

    def __init__(self, text: str) -> None:
        self.text, self._end = text, 0
        self.comment_starts: list[int] = []
        self.kind, self.value, self.start = "", None, 0
        self.advance()

    kind: str
    value: Any
    start: int

    def advance(self) -> None:
        """Advance to the next token; at the end of the text its kind is ``end``."""
        while True:
            start = self.start = self._end
            match = _TOKEN.match(self.text, start)
            if match is None:
                self._stop(start)
                return
            self._end = match.end()
            name = match.lastgroup
            if name == "space":
                if match[0][0] == "/":
                    self.comment_starts.append(start)
                continue
            if name == "mark":
                self.kind = match[0]
            elif name == "number":
                self.kind, self.value = "value", self._number(match[0])
            elif name == "ident":
                self.kind, self.value = "ident", match[0].removeprefix("r#")
            elif not self._rare(match):
                continue
            return

    def followed_by_colon(self) -> bool:
        """Return whether the next token is a colon."""
        # The grammar needs one token of lookahead to distinguish a struct from a tuple.
        kind, value, start, end = self.kind, self.value, self.start, self._end
        self.advance()
        is_colon = self.kind == ":"
        self.kind, self.value, self.start, self._end = kind, value, start, end
        return is_colon

    def token_text(self) -> str:
        """Describe this token for an error message."""
        if self.kind == "end":
            return "the end of the text"
        token = self.text[self.start : self._end]
        return repr(token if len(token) <= 20 else token[:20] + "...")

    def fail(self, message: str, start: int | None = None) -> NoReturn:
        """Raise a syntax error with ``message``, at this token or at ``start``."""
        line, column = self.place(self.start if start is None else start)
        raise ConfigSyntaxError(message, line, column)

    def place(self, start: int) -> tuple[int, int]:
        """Return line and column of the character ``start``, from 1."""
        before = self.text.rfind("\n", 0, start)
        return self.text.count("\n", 0, start) + 1, start - before

    def _rare(self, match: re.Match[str]) -> bool:
        """Take a token of a rarer kind; return False if the parser skips it."""
        name, token = match.lastgroup, match[0]
        if name == "block":
            self.comment_starts.append(match.start())
            self._skip_comment()
            return False
        if name == "attribute":
            self._check_extensions(token)
            return False
        self.kind = "value"
        if name == "raw" or name == "text":
            self.value = match["text"]
        elif name == "signed":
            self.value = float(token)
        else:
            self.value = self._unescape(token[1:-1])
        return True

    def _unescape(self, text: str) -> str:
        return _ESCAPE.sub(self._character, text) if "\\" in text else text

    def _character(self, match: re.Match[str]) -> str:
        code, byte, letter = match.groups()
        if code or byte:
            number = int((code or byte).replace("_", "") or "0", 16)
            if number > 0x10FFFF:
                self.fail(f"{match[0]} is not a character: the last is \\u{{10FFFF}}")
            return chr(number)
        if letter is None:
            return ""
        if letter not in _PLAIN:
            self.fail(f"unknown escape {match[0]!r}; a backslash itself is '\\\\'")
        return _PLAIN[letter]

    def _number(self, token: str) -> int | float:
        bare = token.replace("_", "").lstrip("+")
        base = _BASES.get(bare.lstrip("-")[:2])
        suffix = _SUFFIX.search(bare)
        # In 0x1f32 the f32 is digits, not a type: the pattern matched integer types
        # only.
        if suffix and not (base == 16 and suffix[0][0] == "f"):
            bare = bare.removesuffix(suffix[0])
        try:
            if base:
                return self._bounded(int(bare, base))
            if not _MARKS.isdisjoint(bare) or (suffix and suffix[0][0] == "f"):
                value = finite(bare)
            else:
                return int(bare)
        except BeyondFloatError as error:
            raise error.at(*self.place(self.start)) from None
        except ValueError:
            self.fail(f"{token[:40]!r} is not a valid number")
        return value

    def _bounded(self, number: int) -> int:
        if number.bit_length() > MAX_INT_BITS:
            self.fail("a number of over 4,300 digits")
        return number

    def _skip_comment(self) -> None:
        depth, end = 1, self._end
        while depth:
            match = _COMMENT.search(self.text, end)
            if match is None:
                self.fail("this comment has no closing '*/'")
            depth += 1 if match[0] == "/*" else -1
            end = match.end()
        self._end = end

    def _check_extensions(self, token: str) -> None:
        match = re.fullmatch(r"#!\[\s*enable\(([\w\s,]*)\)\s*\]", token)
        names = {name.strip() for name in match[1].split(",")} if match else {token}
        unknown = names - _EXTENSIONS - {""}
        if unknown:
            extensions = ", ".join(sorted(_EXTENSIONS))
            self.fail(
                f"unknown extension {short_repr(min(unknown))}; expected one of "
                f"{extensions}"
            )

    def _stop(self, start: int) -> None:
        if start < len(self.text):
            token = self.text[start]
            message = "this string has no closing quote" if token == '"' else None
            self.fail(
                message or f"{self.text[start : start + 10]!r} has no meaning in RON"
            )
        self.kind, self.value = "end", None
