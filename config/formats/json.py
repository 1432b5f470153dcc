"""JSON as a tree, read by the standard library, with duplicate keys refused.

``NaN``, ``Infinity`` and ``-Infinity`` are read and written as Python does.
"""

import json
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring as _quoted
from json.encoder import encode_basestring_ascii as _quoted_ascii
from math import isfinite
from typing import Any

import orjson

from ..errors import ConfigError, ConfigSyntaxError, Problem
from ..path import child
from ..short_text import short_repr
from ..tree import (
    MAX_DEPTH,
    BeyondFloatError,
    check_bounds,
    finite,
    is_dict,
    is_items,
    too_deep,
)


def read(text: str) -> object:
    """Return the value of ``text``."""
    try:
        tree = _decoded(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise ConfigSyntaxError(error.msg, error.lineno, error.colno) from None
    except RecursionError:
        raise too_deep() from None
    except _Duplicate as twice:
        line, column = _place_of_second(text, str(twice))
        message = f"key {short_repr(str(twice))} is written twice"
        raise ConfigSyntaxError(message, line, column) from None
    except BeyondFloatError as error:
        digits = error.message.partition(" ")[0]
        if text.count(digits) == 1:
            error = error.at(*_place(text, text.find(digits)))
        raise error from None
    except ValueError as error:
        raise ConfigSyntaxError(f"a number is too long: {error}") from None
    # Nested levels need as many brackets, so most files are accepted without a walk.
    if text.count("[") + text.count("{") > MAX_DEPTH:
        check_bounds(tree)
    return tree


def write(tree: object) -> str:
    """Return ``tree`` as text; tuples become lists, and keys strings.

    The text equals that of the standard library with an indent of two spaces, which is
    written by slower Python code.
    """
    text = _text(tree, "", "\n", _quoted)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = _text(tree, "", "\n", _quoted_ascii)
    return text + "\n"


def comment_lines(text: str) -> Sequence[int]:
    """Return no lines, since JSON has no comments."""
    return ()


def _decoded(text: str) -> object:
    """Return the value, from a faster reader if that cannot have dropped anything."""
    try:
        content = text.encode()
        # Two counts are needed, since strings such as "cuda:0" contain colons too.
        if content.count(b'":') == content.count(b":") and _has_short_numbers(content):
            tree = orjson.loads(content)
            # Every key has a colon, so none was dropped if the numbers agree.
            if type(tree) in _CONTAINERS and _n_keys(tree) == content.count(b":"):
                return tree
    except (UnicodeEncodeError, orjson.JSONDecodeError):
        # The standard library reports where the error is, and it reads NaN.
        pass
    return _DECODER.decode(text)


def _has_short_numbers(content: bytes) -> bool:
    """Return whether `finite` would return all numbers of a text unchanged."""
    shape = content.translate(_NUMBER_SHAPE)
    return b"0" * 16 not in shape and b"0e" not in shape


_NUMBER_SHAPE = bytes.maketrans(b"123456789.+-E", b"000000000000e")


def _n_keys(tree: Any) -> int:
    """Return the number of keys in all objects of ``tree``."""
    count, waiting = 0, [tree]
    for container in waiting:
        items = container
        if type(container) is dict:
            count += len(container)
            items = container.values()
        # Most objects contain no others, and are counted in one call.
        if not _CONTAINERS.isdisjoint(map(type, items)):
            waiting += [item for item in items if type(item) in _CONTAINERS]
    return count


_CONTAINERS = frozenset({dict, list})


class _Duplicate(Exception):
    """A duplicate key of an object."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    items = dict(pairs)
    if len(items) < len(pairs):
        keys: set[str] = set()
        for key, _ in pairs:
            if key in keys:
                raise _Duplicate(key)
            keys.add(key)
    return items


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=finite)


def _place_of_second(text: str, key: str) -> tuple[int | None, int | None]:
    """Return the position of the first duplicate key, as well as the text shows it."""
    quoted = json.dumps(key, ensure_ascii=False)
    start = text.find(quoted, text.find(quoted) + 1)
    if start < 0 or text.count(quoted) != 2:
        return None, None
    return _place(text, start)


def _place(text: str, start: int) -> tuple[int, int]:
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


def _text(tree: object, path: str, line: str, quoted: Callable[[str], str]) -> str:
    """Return ``tree`` as text, each line but the first after ``line``."""
    if isinstance(tree, str):
        return quoted(tree)
    if is_dict(tree):
        item_line = line + "  "
        pairs = _pairs(tree, path, item_line, quoted)
        return f"{{{item_line}{f',{item_line}'.join(pairs)}{line}}}" if pairs else "{}"
    if is_items(tree):
        item_line = line + "  "
        items = [
            _text(v, child(path, i), item_line, quoted) for i, v in enumerate(tree)
        ]
        return f"[{item_line}{f',{item_line}'.join(items)}{line}]" if items else "[]"
    return _scalar(tree)


def _scalar(value: object) -> str:
    if type(value) is int:
        return str(value)
    if type(value) is float and isfinite(value):
        return repr(value)
    return json.dumps(value)


def _pairs(
    tree: dict[object, object], path: str, line: str, quoted: Callable[[str], str]
) -> list[str]:
    keys: set[str] = set()
    pairs: list[str] = []
    for key, value in tree.items():
        name = key if isinstance(key, str) else _key_text(key, path)
        keys.add(name)
        if isinstance(value, dict | list | tuple):
            text = _text(value, child(path, key), line, quoted)
        else:
            text = quoted(value) if isinstance(value, str) else _scalar(value)
        pairs.append(f"{quoted(name)}: {text}")
    if len(keys) < len(tree):
        message = "two of its keys are the same in JSON; RON keeps them apart"
        raise ConfigError("", [Problem(path, message)])
    return pairs


def _key_text(key: object, path: str) -> str:
    if not isinstance(key, int | float | bool | None):
        problem = f"JSON keys must be strings, found {short_repr(key, 40)}"
        message = f"{problem}; RON allows tuples as keys"
        raise ConfigError("", [Problem(path, message)])
    return json.dumps(key)
