"""Values of any size as a few words for a message."""

import reprlib

_short = reprlib.Repr()
_short.maxlevel, _short.maxlist, _short.maxdict, _short.maxstring = 3, 4, 4, 60
_short.maxother = 60


def one_line(value: object) -> str:
    """Return ``value`` as text of a line at most, however large or deep it is."""
    try:
        return _short.repr(value)[:100]
    except ValueError:
        return f"a {type(value).__name__} of very many digits"
