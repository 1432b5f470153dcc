"""Names of repeated blocks as one line: ``layers.{0...11}.attn.weight``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from ...config.printable import printable, printable_name

_MOST = 20_000
"""Maximal number of names that are folded; further ones are too many to read."""

_DEEPEST = 4
"""Number of a path's first integers that may be folded."""


@dataclass(slots=True)
class NamedLine:
    """The line of a path, or of the paths of ``n`` blocks."""

    path: str
    text: str = ""
    """The rest of the line after the path."""
    new_path: str = ""
    """Another name of it, with the same number as the path."""
    n: int = 1

    def __str__(self) -> str:
        name = printable_name(self.path)
        arrow = f" -> {printable_name(self.new_path)}" if self.new_path else ""
        return f"{name}{arrow}{printable(self.text)}"


def folded(lines: Iterable[NamedLine]) -> list[NamedLine]:
    """Return one line for lines that differ only in consecutive numbers.

    Of very many lines, only the first ones. The order is that of the first name in
    each.
    """
    rows = [*islice(lines, _MOST)]
    for place in range(_DEEPEST):
        rows = _folded_at(place, rows)
    return rows


_Key: TypeAlias = tuple[str, str, str]


def _folded_at(place: int, lines: Sequence[NamedLine]) -> list[NamedLine]:
    """Return the lines with the numbers at one position of their paths folded."""
    runs: list[_Run] = []
    last_runs: dict[_Key, _Run] = {}
    for line in lines:
        parts = line.path.split(".")
        slots = [i for i, part in enumerate(parts) if _is_number(part) or "{" in part]
        i = slots[place] if place < len(slots) else -1
        if i < 0 or not _is_number(parts[i]):
            runs.append(_Run(line, -1, -1))
            continue
        number = parts[i]
        new_parts = line.new_path.split(".")
        new_i = new_parts.index(number) if number in new_parts else -1
        key = (_with(parts, i, ""), _with(new_parts, new_i, ""), line.text)
        run = last_runs.get(key)
        if run is not None and run.follows(number):
            run.lines += 1
            run.n += line.n
            continue
        runs.append(_Run(line, i, new_i))
        last_runs[key] = runs[-1]
    return [run.line() for run in runs]


class _Run:
    """A line and its successors, each with the next number."""

    __slots__ = ("first", "i", "lines", "n", "new_i")

    def __init__(self, first: NamedLine, i: int, new_i: int) -> None:
        self.first, self.i, self.new_i = first, i, new_i
        self.lines, self.n = 1, first.n

    def follows(self, number: str) -> bool:
        return int(number) == int(self.first.path.split(".")[self.i]) + self.lines

    def line(self) -> NamedLine:
        if self.lines == 1:
            return self.first
        parts, new_parts = self.first.path.split("."), self.first.new_path.split(".")
        start = int(parts[self.i])
        numbers = f"{{{start}...{start + self.lines - 1}}}"
        return NamedLine(
            _with(parts, self.i, numbers),
            self.first.text,
            _with(new_parts, self.new_i, numbers),
            self.n,
        )


def _with(parts: Sequence[str], i: int, part: str) -> str:
    """Return the path of ``parts`` with another one at ``i``; unchanged for -1."""
    return ".".join(parts if i < 0 else [*parts[:i], part, *parts[i + 1 :]])


def _is_number(part: str) -> bool:
    # Numbers with leading zeros would come back without them.
    is_digits = part.isascii() and part.isdecimal() and len(part) < 18
    return is_digits and str(int(part)) == part
