"""Paths in a tree: dotted names, written and parsed."""

import json
import re
from collections.abc import Iterable
from functools import reduce

from .short_text import short_repr

_INDEX = re.compile(r"-?[0-9]{1,18}")
_PART = re.compile(
    r"""(?P<dot>\.)?(?P<name>[^.\[\]"=]+)|\[(?:(?P<index>-?\d+)|(?P<quoted>"(?:[^"\\]|\\.)*"))\]"""
)


def join(*parts: str | int) -> str:
    """Return the dotted path of ``parts``, skipping empty ones."""
    return ".".join(str(part) for part in parts if part != "")


def child(path: str, key: object) -> str:
    """Return the path of the item ``key`` of the value at ``path``.

    List items are written ``[0]``, and keys that contain a dot or a bracket
    ``["a.b"]``.
    """
    if isinstance(key, str) and key.isidentifier():
        return f"{path}.{key}" if path else key
    if isinstance(key, int) and not isinstance(key, bool):
        return f"{path}[{key}]"
    name = str(key)
    if not name or any(mark in name for mark in '.[]="'):
        return f"{path}[{json.dumps(name)}]"
    return join(path, name)


def path_of(names: Iterable[str]) -> str:
    """Return the path that `parts` splits into ``names``."""
    return reduce(child, names, "")


def path_below(path: str, below: str) -> str:
    """Return the path of ``below``, which is relative to ``path``, from the root."""
    return path + below if not path or below[:1] == "[" else join(path, below)


def parts(path: str) -> tuple[str, ...]:
    """Return the names along ``path``: ``a.b``, ``xs[0]``, ``d["a.b"]``.

    Raises ValueError for a path with an empty or unfinished part, and TypeError for
    anything but a string.
    """
    if not isinstance(path, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"a path is a text like 'a.b', got {short_repr(path)}")
    names: list[str] = []
    end = 0
    while end < len(path) or not names:
        match = _PART.match(path, end)
        if match is None or (match["dot"] and not names):
            examples = """a.b, xs[0] or table["a key"]"""
            hint = f"write names with dots between them, as in {examples}"
            raise ValueError(f"path {short_repr(path)}: {hint}")
        quoted = match["quoted"]
        name = json.loads(quoted) if quoted else match["index"] or match["name"]
        if not (match["dot"] or quoted or match["index"] or not names):
            raise ValueError(
                f"path {short_repr(path)}: a '.' is missing before {short_repr(name)}"
            )
        names.append(name)
        end = match.end()
    return tuple(names)


def item_index(name: str) -> int | None:
    """Return the index of a list item called ``name``; None if it is not a number.

    Only 0 to 9 are accepted, while Python counts ``²`` as a digit.
    """
    return int(name) if _INDEX.fullmatch(name) else None
