"""Maps with each key once, for parsers that would let the last one win."""

from typing import Any


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the map of ``pairs``; ValueError for one key twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a map has one key twice")
    return made
