"""JSON as a tree: the standard library's, with duplicate keys refused.

``NaN``, ``Infinity`` and ``-Infinity`` are read and written as Python does.
"""

import json
from typing import Any

from ..encode import to_plain
from ..errors import ConfigError, ConfigSyntaxError, Problem
from ..path import child
from ..shown import shown
from ..tree import MAX_DEPTH, check_bounds, is_dict, too_deep


def read(text: str) -> Any:
    """Return the value that ``text`` stands for."""
    try:
        tree = _DECODER.decode(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as wrong:
        raise ConfigSyntaxError(wrong.msg, wrong.lineno, wrong.colno) from None
    except RecursionError:
        raise too_deep() from None
    except _Duplicate as twice:
        line, column = _place_of_second(text, str(twice))
        message = f"key {shown(str(twice))} is written twice"
        raise ConfigSyntaxError(message, line, column) from None
    except ValueError as wrong:
        raise ConfigSyntaxError(f"a number is too long: {wrong}") from None
    # As many brackets as levels at least, so most files need no walk.
    if text.count("[") + text.count("{") > MAX_DEPTH:
        check_bounds(tree)
    return tree


def write(tree: Any) -> str:
    """Return ``tree`` as text; tuples become lists, and keys text."""
    plain = to_plain(tree)
    _check_keys(plain, "")
    text = json.dumps(plain, indent=2, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(plain, indent=2)
    return text + "\n"


class _Duplicate(Exception):
    """A key that an object has twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    if len(items) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Duplicate(key)
            seen.add(key)
    return items


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _place_of_second(text: str, key: str) -> tuple[int | None, int | None]:
    """Return where the first key is that stands twice, as well as text tells."""
    quoted = json.dumps(key, ensure_ascii=False)
    start = text.find(quoted, text.find(quoted) + 1)
    if start < 0 or text.count(quoted) != 2:
        return None, None
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


def _check_keys(tree: Any, path: str) -> None:
    if isinstance(tree, list):
        for i, item in enumerate(tree):
            _check_keys(item, child(path, i))
    elif is_dict(tree):
        for key, item in tree.items():
            if not isinstance(key, str | int | float | bool | None):
                found = f"JSON keys are text, found {shown(key, 40)}"
                message = f"{found}; RON has tuples as keys"
                raise ConfigError("", [Problem(path, message)])
            _check_keys(item, child(path, key))
        if len({_key_text(key) for key in tree}) < len(tree):
            message = "two of its keys are one text in JSON; RON keeps them apart"
            raise ConfigError("", [Problem(path, message)])


def _key_text(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key)
