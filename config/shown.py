"""Values as an error quotes them: short whatever they are, and of anything."""

import reprlib

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def shown(value: object, limit: int = 60) -> str:
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
