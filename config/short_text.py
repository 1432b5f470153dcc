"""Values as an error quotes them: short whatever they are, and of anything."""

import reprlib
from collections.abc import Iterable
from itertools import islice

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def short_repr(value: object, limit: int = 60) -> str:
    """Return ``repr(value)``, cut off after about ``limit`` characters.

    Long texts and containers are cut before they are rendered; what has no repr, such
    as a number of over 4,300 digits, is called by its type.
    """
    if isinstance(value, str | bytes) and len(value) > limit:
        return f"{value[:limit]!r}..."
    try:
        is_long = isinstance(value, list | tuple | dict | set) and len(value) > limit
        text = _SHORT.repr(value) if is_long else repr(value)
    except Exception:  # a user's repr may raise anything
        return f"<{type(value).__qualname__}>"
    return text if len(text) <= limit else f"{text[:limit]}..."


def first_names(names: Iterable[str], most: int) -> str:
    """Return the first ``most`` of ``names``, and three dots where there are more."""
    first = [*islice(names, most + 1)]
    return ", ".join(first[:most]) + (", ..." if len(first) > most else "")
