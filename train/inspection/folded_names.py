"""Names of repeated blocks as one line: ``layers.{0...11}.attn.weight``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from ...config.printable import printable, printable_name

_MOST = 20_000
"""Names that are looked at; what lies behind them is a line each to nobody."""

_DEEPEST = 4
"""Numbers of a path that may be folded, its first ones."""


@dataclass(slots=True)
class NamedLine:
    """What is told of a path, or of the paths of ``n`` blocks."""

    path: str
    text: str = ""
    """What follows the path."""
    new_path: str = ""
    """Another name of it, whose number is that of the path."""
    n: int = 1

    def __str__(self) -> str:
        name = printable_name(self.path)
        arrow = f" -> {printable_name(self.new_path)}" if self.new_path else ""
        return f"{name}{arrow}{printable(self.text)}"


def folded(lines: Iterable[NamedLine]) -> list[NamedLine]:
    """Return one line for what differs in a number alone, if the numbers follow.

    Of very many lines these are the first ones. The order is that of the first name in
    each.
    """
    rows = [*islice(lines, _MOST)]
    for place in range(_DEEPEST):
        rows = _folded_at(place, rows)
    return rows


_Key: TypeAlias = tuple[str, str, str]


def _folded_at(place: int, lines: Sequence[NamedLine]) -> list[NamedLine]:
    """Return the lines with the numbers at one place of their paths folded."""
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
    """A line and those that follow it, each with the next number."""

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
    """Return the path of ``parts`` with another at ``i``; as it is for -1."""
    return ".".join(parts if i < 0 else [*parts[:i], part, *parts[i + 1 :]])


def _is_number(part: str) -> bool:
    # A number with zeros before it would come back without them.
    is_digits = part.isascii() and part.isdecimal() and len(part) < 18
    return is_digits and str(int(part)) == part
