"""Names of things in a tree: dotted paths, patterns over them, and nearest names."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

Pattern: TypeAlias = str | Callable[[Any], bool]
"""A path with ``*`` (within one part), ``**`` (any depth), ``{a,b}``; or a predicate."""

Patterns: TypeAlias = Pattern | Sequence[Pattern]
"""One pattern, or several of which any may match."""


def join(*parts: str | int) -> str:
    """Return the dotted path through ``parts``, without the empty ones."""
    return ".".join(str(part) for part in parts if part != "")


def matches(patterns: Patterns, path: str, item: object = None) -> bool:
    """Return whether any pattern matches ``path``, or any predicate ``item``."""
    return any(matcher(path, item) for matcher in matchers(patterns))


def matchers(patterns: Patterns) -> list[Callable[[str, object], bool]]:
    """Return one test of (path, item) for each pattern, in their order.

    Raises ValueError for a pattern that is malformed.
    """
    return [_matcher(pattern) for pattern in as_patterns(patterns)]


def as_patterns(patterns: Patterns) -> tuple[Pattern, ...]:
    """Return ``patterns`` as a tuple, one or several alike."""
    if isinstance(patterns, str) or callable(patterns):
        return (patterns,)
    if not isinstance(patterns, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"a pattern is a str or a predicate, got {patterns!r}")
    return tuple(patterns)


def is_pattern(path: str) -> bool:
    """Return whether ``path`` can name more than one thing."""
    return any(mark in path for mark in "*{")


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of ``names`` that ``name`` was probably meant to be."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"``, or nothing when no name is near."""
    found = nearest(name, names)
    return f" Did you mean {found!r}?" if found is not None else ""


def _matcher(pattern: Pattern) -> Callable[[str, object], bool]:
    if callable(pattern):
        return lambda path, item: bool(pattern(item))
    expression = _compile(pattern)
    return lambda path, item: expression.fullmatch(path) is not None


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> re.Pattern[str]:
    alternatives = _expand(pattern)
    return re.compile("|".join(_expression(one) for one in alternatives))


def _expand(pattern: str) -> list[str]:
    """Return the patterns without braces that ``pattern`` stands for."""
    start = pattern.find("{")
    if start < 0:
        if "}" in pattern:
            raise ValueError(f"pattern {pattern!r}: '}}' without '{{'")
        return [pattern]
    end = pattern.find("}", start)
    if end < 0 or "{" in pattern[start + 1 : end]:
        raise ValueError(f"pattern {pattern!r}: '{{' needs its '}}', and no nesting")
    head, choices, tail = pattern[:start], pattern[start + 1 : end], pattern[end + 1 :]
    tails = _expand(tail)
    expanded = [head + c + rest for c in choices.split(",") for rest in tails]
    if len(expanded) > 10_000:
        raise ValueError(f"pattern {pattern!r} stands for over 10,000 paths")
    return expanded


def _expression(pattern: str) -> str:
    parts = pattern.split(".")
    if "" in parts:
        raise ValueError(f"pattern {pattern!r} has an empty part; write 'a.b' or 'a.*'")
    expression, rest = "", parts
    while rest and rest[0] == "**":
        rest = rest[1:]
        expression = r"(?:[^.]+\.)*" if rest else r".+"
    for i, part in enumerate(rest):
        if part == "**":
            # Zero or more parts: 'a.**.b' matches 'a.b', and 'a.**' matches 'a'.
            expression += r"(?:\.[^.]+)*"
            continue
        joint = r"\." if i else ""
        expression += joint + re.escape(part).replace(r"\*", "[^.]*")
    return expression
