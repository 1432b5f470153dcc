"""What ``--json`` prints: one document, whose schema has a name and a version."""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

VERSION = 1
"""Of all documents; it is counted up when a key changes its meaning or goes."""


def print_json(schema: str, content: Mapping[str, Any]) -> None:
    """Print ``content`` as the document ``{"burnish": schema, "version": 1, ...}``.

    An iterator in it becomes a list, whose items are asked for one by one and stand on
    a line each: of hundreds of thousands of tensors no list is made.
    """
    document = {"burnish": schema, "version": VERSION, **content}
    for text in _texts(document, "\n"):
        sys.stdout.write(text)
    print()


def _texts(value: object, line: str) -> Iterator[str]:
    """Yield the text of ``value`` in pieces; ``line`` begins a line at its depth."""
    if isinstance(value, Mapping) and value:
        yield "{"
        for i, (key, item) in enumerate(value.items()):
            yield f"{',' if i else ''}{line} {_dumped(str(key))}: "
            yield from _texts(item, line + " ")
        yield line + "}"
    elif isinstance(value, list) and any(isinstance(x, Mapping) for x in value):
        yield "["
        for i, item in enumerate(value):
            yield f"{',' if i else ''}{line} "
            yield from _texts(item, line + " ")
        yield line + "]"
    elif isinstance(value, Iterator):
        yield "["
        is_empty = True
        for item in value:
            yield f"{'' if is_empty else ','}{line} {_dumped(_as_json(item))}"
            is_empty = False
        yield "]" if is_empty else line + "]"
    else:
        yield _dumped(_as_json(value))


def _dumped(value: Any) -> str:
    # ASCII alone: a locale may have no more, and no control character is printed raw.
    return json.dumps(value, allow_nan=False)


def _is_of_numpy(value: Any) -> bool:
    # Commands that need no arrays do not wait for its import.
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.number | numpy.bool_)


def _as_json(value: Any) -> Any:
    """Return ``value`` as JSON has it; what it has not is told as a text."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_json(item) for item in value]
    if _is_of_numpy(value):
        value = value.item()  # what is not a number for JSON is told below
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return repr(value)
