"""The output of ``--json``: one document with a named and versioned schema."""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

VERSION = 1
"""The version of all documents; raised when a key changes its meaning or is removed."""


def print_json(schema: str, content: Mapping[str, Any]) -> None:
    """Print ``content`` as the document ``{"burnish": schema, "version": 1, ...}``.

    An iterator becomes a list with one item per line. Its items are requested one by
    one, so that no list of hundreds of thousands of tensors is held in memory.
    """
    document = {"burnish": schema, "version": VERSION, **content}
    for text in _texts(document, "\n"):
        sys.stdout.write(text)
    print()


def _texts(value: object, line: str) -> Iterator[str]:
    """Yield the text of ``value`` in pieces; ``line`` starts a line at its depth."""
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
    # Only ASCII: the locale may lack other characters, and control characters are
    # escaped.
    return json.dumps(value, allow_nan=False)


def _is_of_numpy(value: Any) -> bool:
    # Commands without arrays do not wait for the import of numpy.
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.number | numpy.bool_)


def _as_json(value: Any) -> Any:
    """Return ``value`` as JSON data; what JSON cannot represent becomes a string."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_json(item) for item in value]
    if _is_of_numpy(value):
        value = value.item()  # values that are not JSON numbers are converted below
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return repr(value)
