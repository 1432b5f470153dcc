"""Plain data as JSON text that every tool returns unchanged."""

import math
from collections.abc import Callable
from typing import Any

import orjson

from ...config.plain.node import Node
from ..errors import RecordError
from ..limits import odd_text, odd_text_in_header, unstorable_text


def header_text(header: dict[str, Any]) -> bytes:
    """Return a header as `plain_text` does; errors name a path in its record."""
    return plain_text(header, odd_text_in_header)


def plain_text(
    node: Any, find_odd_text: Callable[[Any], str | None] = odd_text
) -> bytes:
    """Return ``node`` in one line; RecordError for what JSON cannot hold.

    ``find_odd_text`` returns the path of a string that is not valid Unicode.
    """
    try:
        return orjson.dumps(portable(node))
    except (TypeError, ValueError) as error:
        where = find_odd_text(node)
        if where is not None:
            raise unstorable_text(where) from error
        raise RecordError(f"plain data that JSON cannot hold: {error}") from error


def portable(node: Node) -> Node:
    """Return ``node`` with numbers that JSON lacks, or that tools change, as tags."""
    if isinstance(node, float) and not math.isfinite(node):
        return {"$float": str(node)}
    if type(node) is int and abs(node) > 2**53:
        return {"$int": str(node)}
    if isinstance(node, list):
        if _SAME.issuperset(map(type, node)):  # pyright: ignore[reportUnknownArgumentType]  # any node
            return node  # pyright: ignore[reportUnknownVariableType]  # any node
        return [portable(item) for item in node]  # pyright: ignore[reportUnknownVariableType]  # any node
    if isinstance(node, dict):
        return {key: portable(item) for key, item in node.items()}  # pyright: ignore[reportUnknownVariableType]  # any node
    return node


_SAME = frozenset((str, bool, type(None)))
"""Types that JSON has directly; columns of hundreds of thousands have no others."""
