"""What ``--json`` prints: one document, whose schema has a name and a version."""

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

VERSION = 1
"""Of all documents; it is counted up when a key changes its meaning or goes."""


def print_json(schema: str, content: Mapping[str, Any]) -> None:
    """Print ``content`` as the document ``{"burnish": schema, "version": 1, ...}``."""
    document = {"burnish": schema, "version": VERSION, **content}
    # ASCII alone: a locale may have no more, and no control character is printed raw.
    json.dump(_as_json(document), sys.stdout, indent=1, allow_nan=False)
    print()


def _as_json(value: object) -> Any:
    """Return ``value`` as JSON has it; what it has not is told as a text."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return repr(value)
