"""Patterns over paths: matching, and the values of their wildcards."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias, cast

from .short_text import short_repr

Pattern: TypeAlias = str | Callable[[Any], bool]
"""A path with ``*`` (in one part), ``**`` (any depth), ``{a,b}``; or a predicate."""

Patterns: TypeAlias = Pattern | Sequence[Pattern]
"""One pattern, or several of which any may match."""

_WILD = re.compile(r"\*|\{[^{}]*\}")


def matches(patterns: Patterns, path: str, item: object = None) -> bool:
    """Return whether any pattern matches ``path``, or any predicate ``item``."""
    return any(matcher(path, item) for matcher in matchers(patterns))


def matchers(patterns: Patterns) -> list[Callable[[str, object], bool]]:
    """Return a test of (path, item) for each pattern, in order.

    Raises ValueError for a malformed pattern.
    """
    return [_matcher(pattern) for pattern in as_patterns(patterns)]


def as_patterns(patterns: Patterns) -> tuple[Pattern, ...]:
    """Return one or several ``patterns`` as a tuple.

    Raises TypeError for anything that is neither a path nor a predicate.
    """
    several: tuple[object, ...]
    if isinstance(patterns, str) or callable(patterns):
        several = (patterns,)
    # An iterator would be exhausted when its patterns are needed again.
    elif isinstance(patterns, Iterable) and not isinstance(patterns, Iterator):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        several = tuple(patterns)
    else:
        raise TypeError(_refusal(patterns))
    for pattern in several:
        if not (isinstance(pattern, str) or _is_predicate(pattern)):
            raise TypeError(_refusal(pattern))
    return cast("tuple[Pattern, ...]", several)


def _is_predicate(value: object) -> bool:
    """Return whether ``value`` is a predicate, and not a class or a module."""
    return callable(value) and not isinstance(value, type) and not _is_module(value)


def _refusal(value: object) -> str:
    """Explain why ``value`` is not a pattern, and what may be meant."""
    if _is_module(value):
        kind = type(value).__name__
        return f"a module ({kind}) is not a pattern; pass its path, as in 'head.**'"
    hint = "; '**' matches everything" if value is True else ""
    if isinstance(value, Iterator):
        hint = "; an iterator can be read only once: pass a list"
    return f"a pattern must be a str or a predicate, got {short_repr(value)}{hint}"


def _is_module(value: object) -> bool:
    return hasattr(value, "named_parameters") and not isinstance(value, type)


def wildcard_values(
    pattern: Sequence[str], names: Sequence[str]
) -> tuple[str, ...] | None:
    """Return the value of each wildcard of ``pattern`` in ``names``, or None.

    Both are parts of paths; ``*`` and ``{a,b}`` match text within one part and ``**``
    any number of whole parts, as few as possible.
    """
    if not pattern:
        return None if names else ()
    if pattern[0] != "**":
        values = _bind_part(pattern[0], names[0]) if names else None
        tail = None if values is None else wildcard_values(pattern[1:], names[1:])
        return None if values is None or tail is None else (*values, *tail)
    end = next((i for i in range(1, len(pattern)) if pattern[i] == "**"), None)
    run = pattern[1:end]
    last_start = len(names) - len(run)
    # If another `**` follows, the first match leaves the most names for the rest, so
    # that no other has to be tried: matching never takes time that grows with a power
    # of the path's length.
    for start in (
        range(last_start + 1)
        if end is not None
        else range(max(last_start, 0), last_start + 1)
    ):
        values = _bind_run(run, names[start : start + len(run)])
        if values is not None:
            tail = (
                wildcard_values(pattern[end:], names[start + len(run) :]) if end else ()
            )
            skipped = ".".join(names[:start])
            return None if tail is None else (skipped, *values, *tail)
    return None


def _bind_run(run: Sequence[str], names: Sequence[str]) -> tuple[str, ...] | None:
    """Return the values of the wildcards in parts without ``**``, one per name."""
    values: list[str] = []
    for part, name in zip(run, names, strict=True):
        bound = _bind_part(part, name)
        if bound is None:
            return None
        values += bound
    return tuple(values)


def _bind_part(part: str, name: str) -> tuple[str, ...] | None:
    """Return the values of the wildcards of ``part``; the first ones are longest.

    Without braces the time is proportional to the length of ``name``, which a file may
    make long: from its end, each text between stars is matched at its last occurrence.
    """
    if "{" in part:
        match = _part(part).fullmatch(name)
        return None if match is None else match.groups()
    head, *middle = part.split("*")
    if not middle:
        return () if name == part else None
    *middle, tail = middle
    end = len(name) - len(tail)
    if end < len(head) or not (name.startswith(head) and name.endswith(tail)):
        return None
    values: list[str] = []
    for piece in reversed(middle):
        start = name.rfind(piece, len(head), end)
        if start < 0:
            return None
        values.append(name[start + len(piece) : end])
        end = start
    return (*reversed([*values, name[len(head) : end]]),)


def n_wildcards(pattern: Sequence[str]) -> int:
    """Return the number of values that `wildcard_values` returns for ``pattern``."""
    return sum(1 if part == "**" else _part(part).groups for part in pattern)


def fill_wildcards(pattern: Sequence[str], values: Sequence[str]) -> tuple[str, ...]:
    """Return the parts of ``pattern`` with its wildcards replaced by ``values``."""
    remaining = iter(values)
    names: list[str] = []
    for part in pattern:
        if part == "**":
            names.extend(name for name in next(remaining).split(".") if name)
        else:
            names.append(_WILD.sub(lambda _: next(remaining), part))
    return tuple(names)


def is_pattern(path: str) -> bool:
    """Return whether ``path`` can match more than one path."""
    return "*" in path or "{" in path


def brace_choices(pattern: str) -> list[str]:
    """Expand the braces of ``pattern`` into patterns without braces."""
    start = pattern.find("{")
    if start < 0:
        if "}" in pattern:
            raise ValueError(f"pattern {short_repr(pattern)}: '}}' without '{{'")
        return [pattern]
    end = pattern.find("}", start)
    if end < 0 or "{" in pattern[start + 1 : end]:
        raise ValueError(
            f"pattern {short_repr(pattern)}: '{{' needs a '}}' and cannot be nested"
        )
    head, choices, tail = pattern[:start], pattern[start + 1 : end], pattern[end + 1 :]
    tails = brace_choices(tail)
    if len(tails) * (choices.count(",") + 1) > 10_000:
        raise ValueError(f"pattern {short_repr(pattern)} expands to over 10,000 paths")
    return [head + c + ending for c in choices.split(",") for ending in tails]


def _matcher(pattern: Pattern) -> Callable[[str, object], bool]:
    if callable(pattern):
        return lambda path, item: bool(pattern(item))
    expression = _compile(pattern)
    return lambda path, item: expression.fullmatch(path) is not None


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> re.Pattern[str]:
    patterns = brace_choices(pattern)
    return re.compile("|".join(_expression(alternative) for alternative in patterns))


@lru_cache(maxsize=1024)
def _part(part: str) -> re.Pattern[str]:
    """Return the regular expression of one part, with a group for each wildcard."""
    expression, end = "", 0
    for wild in _WILD.finditer(part):
        choices = wild[0].strip("{}").split(",")
        any_of = ".*" if wild[0] == "*" else "|".join(map(re.escape, choices))
        expression += f"{re.escape(part[end : wild.start()])}({any_of})"
        end = wild.end()
    return re.compile(expression + re.escape(part[end:]), re.DOTALL)


def _expression(pattern: str) -> str:
    """Return the regular expression of a pattern, which matches in linear time.

    Parts between two ``**`` are matched at their first occurrence, without
    backtracking: that leaves the most to the parts after them.
    """
    if "" in pattern.split("."):
        raise ValueError(
            f"pattern {short_repr(pattern)} has an empty part; write 'a.b' or 'a.*'"
        )
    head, *later_runs = _runs(pattern)
    if not later_runs:
        return head
    *middle, tail = later_runs
    # `**` also matches no part: 'a.**.b' matches 'a.b', and 'a.**' matches 'a'. The
    # groups are atomic, `(?>...)`, so that the engine never backtracks into one.
    before, skipped = (head, r"(?:\.[^.]+)") if head else ("", r"(?:[^.]+\.)")
    expression = before
    for run in middle:
        joint = r"\." if expression else ""
        expression += rf"(?>{skipped}*?{joint}{run}(?![^.]))"
        skipped = r"(?:\.[^.]+)"
    if not expression:
        return rf"{skipped}*{tail}" if tail else r"[\s\S]+"
    return rf"{expression}{skipped}*\.{tail}" if tail else rf"{expression}{skipped}*"


def _runs(pattern: str) -> list[str]:
    """Return the expressions of the parts between ``**``; first and last may be ''.

    Consecutive ``**`` count as one.
    """
    runs: list[list[str]] = [[]]
    for part in pattern.split("."):
        if part != "**":
            runs[-1].append(_part_expression(part))
        elif runs[-1] or len(runs) == 1:
            runs.append([])
    return [r"\.".join(run) for run in runs]


def _part_expression(part: str) -> str:
    """Return the regular expression of a part, which matches in linear time.

    Text between two stars is matched at its first occurrence, without backtracking.
    """
    head, *middle = map(re.escape, part.split("*"))
    if not middle:
        return head
    *pieces, tail = middle
    once = "".join(f"(?>[^.]*?{piece})" for piece in pieces if piece)
    return f"{head}{once}[^.]*{tail}"
