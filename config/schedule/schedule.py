"""Schedules: the value of a number at each point of a run."""

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..path import item_index, parts
from ..process.interrupts import raise_of_signal
from ..short_text import quantity, short_repr
from ..spelling import did_you_mean
from ..tree import BeyondFloatError, Rounded, is_items, is_mapping_value

_NUMBER = r"[+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_POINT = re.compile(rf"(?P<value>{_NUMBER})@(?P<x>{_NUMBER})")
_KEY = re.compile(r"[\w.\[\]\"]*")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Points (x, value), joined by curves, over one number of the training state.

    Before the first point the first value holds, after the last point the last one.
    ``Schedule.parse`` reads ``"step: 1.0@0 lin 0.1@1000"``, and ``str`` returns that
    text.
    """

    key: str
    """Path of the number in the state: ``step``, or ``progress.epoch``."""

    points: tuple[tuple[float, float], ...]
    """Pairs of x, in ascending order, and value; at least one, all finite."""

    joins: tuple[str, ...] = ()
    """The curve from each point to the next: ``lin``, ``cos``, ``exp`` or ``step``."""

    text: str = ""
    """The text it was parsed from; generated from the points if omitted."""

    def __post_init__(self) -> None:
        _check(self)
        if not self.text:
            object.__setattr__(self, "text", _render(self))

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """Return the schedule that ``text`` describes; ``lin`` may be omitted.

        Raises ValueError that quotes the text.
        """
        key, colon, points_text = text.partition(":")
        if not colon or "@" in key:
            raise _schedule_error(
                text, "begin with the state's key, as in 'step: 1@0 lin 0@9'"
            )
        points, joins = _read_points(text, points_text.split())
        try:
            return cls(key.strip(), points, joins, text)
        except ValueError as error:
            raise _schedule_error(text, str(error)) from None

    def __call__(self, x: float) -> float:
        """Return the value at ``x``. ValueError for NaN, which is nowhere."""
        # Unlike isnan, a comparison takes ints of any size too.
        if not x <= math.inf:
            raise _schedule_error(self.text, "there is no value at x = NaN")
        after = bisect_right(self.points, x, key=lambda point: point[0])
        if after == 0 or after == len(self.points):
            return self.points[max(after - 1, 0)][1]
        (x0, a), (x1, b) = self.points[after - 1], self.points[after]
        if x == x0:
            return a
        if self.joins[after - 1] == "lin" and max(abs(a), abs(b)) >= 2**53:
            return _line((x0, a), (x1, b), x)
        # Halved, since the difference of two large floats of opposite sign overflows.
        value = JOINS[self.joins[after - 1]](a, b, (x / 2 - x0 / 2) / (x1 / 2 - x0 / 2))
        # A rounding error must not lead outside of the values of both points.
        return min(max(value, min(a, b)), max(a, b))

    def at(self, state: object) -> float:
        """Return the value for ``state``, at the number under the schedule's key."""
        return self(self.find(state))

    def find(self, state: object) -> float:
        """Return the number at the key in ``state``: attributes, items, or both.

        Raises ValueError that quotes the schedule and names the key.
        """
        value = state
        for name in parts(self.key):
            value = self._step(value, name)
        number = _as_number(value)
        if number is None:
            is_what = f"the state's {short_repr(self.key)} is {short_repr(value, 40)}"
            raise _schedule_error(
                self.text, f"{is_what}; expected one number that is not NaN"
            )
        return number

    def samples(self, n_samples: int) -> list[tuple[float, float]]:
        """Return ``n_samples`` pairs of x and value from the first point to the last.

        For a single point, from one before it to one after it.
        """
        start, end = self.points[0][0], self.points[-1][0]
        if start == end:
            start, end = start - 1, end + 1
        steps = max(n_samples - 1, 1)
        xs = [start + (end - start) * i / steps for i in range(n_samples)]
        return [(x, self(x)) for x in xs]

    def sparkline(self, width: int = 40) -> str:
        """Return one line of ``width`` blocks, from the first point to the last."""
        return _block_line([value for _, value in self.samples(max(width, 1))])

    def __str__(self) -> str:
        return self.text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> object:
        """Let a field be annotated ``Schedule`` and given as text."""
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            lambda v: v if isinstance(v, cls) else cls.parse(str(v)),
            serialization=core_schema.to_string_ser_schema(),
        )

    def _step(self, state: object, name: str) -> object:
        if is_mapping_value(state) and name in state:
            return state[name]
        index = item_index(name)
        if is_items(state) and index is not None and -len(state) <= index < len(state):
            return state[index]
        if hasattr(state, name):
            return getattr(state, name)
        names = list(state) if is_mapping_value(state) else list(vars_of(state))
        hint = did_you_mean(name, map(str, names))
        if _as_number(state) is not None:
            hint = f" The value at a number is schedule({short_repr(state, 40)})."
        raise _schedule_error(
            self.text, f"the state has no {short_repr(self.key)}.{hint}"
        )


def looks_scheduled(text: str) -> bool:
    """Return whether ``text`` is meant as a schedule, not as a number."""
    head, colon, _ = text.partition(":")
    is_keyed = colon and _KEY.fullmatch(head.strip()) is not None
    return bool(is_keyed) or "@" in text


def vars_of(state: object) -> list[str]:
    """Return the names of the public attributes of ``state``."""
    return [name for name in dir(state) if not name.startswith("_")]


def _read_points(
    text: str, words: list[str]
) -> tuple[tuple[tuple[float, float], ...], tuple[str, ...]]:
    points: list[tuple[float, float]] = []
    joins: list[str] = []
    join, pending = "lin", False
    for word in words:
        match = _POINT.fullmatch(word)
        if match:
            if points:
                joins.append(join)
            try:
                points.append((_number(match["x"]), _number(match["value"])))
            except BeyondFloatError as error:
                raise _schedule_error(text, error.message) from None
            pending = False
        elif "@" in word or not word.isalpha():
            raise _schedule_error(
                text, f"{short_repr(word)} is not a point: write value@x, as in 0.1@100"
            )
        elif word not in JOINS:
            raise _schedule_error(
                text,
                f"unknown join {short_repr(word)}; expected one of {', '.join(JOINS)}",
            )
        elif pending or not points:
            raise _schedule_error(
                text, f"{short_repr(word)} must be between two points"
            )
        else:
            join, pending = word, True
    if pending:
        raise _schedule_error(text, f"a point is missing after {join!r}")
    return tuple(points), tuple(joins)


def _line(start: tuple[float, float], end: tuple[float, float], x: float) -> int:
    """Return the value on the line at ``x``, truncated towards zero.

    Floats of this size are integers, but not all integers are floats.
    """
    (x0, a), (x1, b) = (tuple(map(Fraction, point)) for point in (start, end))
    return int(a + (b - a) * (Fraction(x) - x0) / (x1 - x0))


def _mixed(a: float, b: float, t: float) -> float:
    """Return ``a`` at 0, ``b`` at 1, and the linear interpolation between them."""
    span = b - a
    return a + span * t if math.isfinite(span) else a * (1 - t) + b * t


def _geometric(a: float, b: float, t: float) -> float:
    """Return ``a`` at 0, ``b`` at 1, exponential in between; both have one sign."""
    ratio = b / a
    if ratio and math.isfinite(ratio):
        return float(a * ratio**t)
    logarithm = math.log(abs(a)) * (1 - t) + math.log(abs(b)) * t
    return math.copysign(math.exp(logarithm), a)


JOINS: Mapping[str, Callable[[float, float, float], float]] = {
    "lin": _mixed,
    "cos": lambda a, b, t: _mixed(b, a, (1 + math.cos(math.pi * t)) / 2),
    "exp": _geometric,
    "step": lambda a, b, t: a,
}
"""From one point's value to the next one's, at a fraction ``t`` of the way, 0 to 1."""


def _as_number(value: object) -> float | None:
    """Return a number, also from numpy or in a tensor; None for other values."""
    item = getattr(value, "item", None)
    try:
        number = (
            item() if callable(item) and not isinstance(value, int | float) else value
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise_of_signal(error)
        # An array of several numbers.
        return None
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    return None if number != number else number


def _number(digits: str) -> float:
    """Return the float, or the integer as written if no float equals it."""
    digits = digits.replace("_", "")
    value = float(digits)
    if value == 0:
        return Rounded(digits).nearest()
    if math.isinf(value) or not digits.lstrip("+-").isdecimal():
        return value
    whole_number = int(digits)
    return value if value == whole_number else whole_number


def _check(schedule: Schedule) -> None:
    points, joins = schedule.points, schedule.joins
    if not points:
        raise ValueError("at least one point value@x is needed")
    parts(schedule.key)
    if len(joins) != len(points) - 1 or any(j not in JOINS for j in joins):
        raise ValueError(
            f"{len(points)} points need {quantity(len(points) - 1, 'join')} out of "
            f"{', '.join(JOINS)}, got {joins}"
        )
    if not all(math.isfinite(n) for point in points for n in point):
        raise ValueError("every value and x must be finite")
    for (x0, a), (x1, b), join in zip(points, points[1:], joins, strict=False):
        if x1 <= x0:
            raise ValueError(
                f"x must increase from point to point, got {x1:g} after {x0:g}"
            )
        # Not by their product, which underflows to 0 for two small values of one sign.
        if join == "exp" and not (a > 0 < b or a < 0 > b):
            raise ValueError(
                f"'exp' needs two values of the same sign, got {a:g} and {b:g}"
            )


def _render(schedule: Schedule) -> str:
    words = [f"{schedule.points[0][1]!r}@{schedule.points[0][0]!r}"]
    for join, (x, value) in zip(schedule.joins, schedule.points[1:], strict=True):
        words.append(f"{join} {value!r}@{x!r}")
    return f"{schedule.key}: {' '.join(words)}"


_BLOCKS = "▁▂▃▄▅▆▇█"


def _block_line(values: Sequence[float]) -> str:
    """Return a block character for each value, of half height if all are equal."""
    low, span = min(values), max(values) - min(values)
    top = len(_BLOCKS) - 1
    if not span:
        return _BLOCKS[top // 2] * len(values)
    return "".join(_BLOCKS[round((value - low) / span * top)] for value in values)


def _schedule_error(text: str, message: str) -> ValueError:
    return ValueError(f"schedule {short_repr(text, 120)}: {message}")
