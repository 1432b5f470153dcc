"""Suggestions for names that are mistyped or renamed."""

import difflib
from collections.abc import Iterable

MAX_NAME = 200
"""Maximal length of a name that is compared; no longer ones are typed by hand."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of ``names`` that ``name`` was probably meant to be."""
    if len(name) > MAX_NAME:
        return None
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"``, or an empty string if no name is similar."""
    nearest_name = nearest(name, names)
    if nearest_name is None:
        return ""
    # A backslash is shown once, as it has to be typed.
    text = repr(nearest_name).replace("\\\\", "\\")
    return f" Did you mean {text}?"


def similarity(a: str, b: str) -> float:
    """Return 1.1 for equal names, 1 for initials or other underscores, else less."""
    if a == b:
        return 1.1
    if a.replace("_", "") == b.replace("_", "") or a == initials(b) or b == initials(a):
        return 1.0
    if max(len(a), len(b)) > MAX_NAME:
        return 0.0
    return 1 - _distance(a, b) / max(len(a), len(b), 1)


def initials(name: str) -> str:
    """Return the initials of the words of ``name``: ``lr`` for learning_rate."""
    return "".join(word[0] for word in name.split("_") if word)


def _distance(a: str, b: str) -> float:
    """Return the Levenshtein distance, where a change of case alone costs 0.25."""
    previous = [float(i) for i in range(len(b) + 1)]
    for i, x in enumerate(a, 1):
        current = [float(i)]
        for j, y in enumerate(b, 1):
            swap = 0.0 if x == y else 0.25 if x.lower() == y.lower() else 1.0
            current.append(
                min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + swap)
            )
        previous = current
    return previous[-1]
