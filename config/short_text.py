"""Values quoted in errors: short representations of any value."""

import re
import reprlib
from collections.abc import Iterable
from itertools import islice

from .process.interrupts import raise_of_signal

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
# The defaults, 6 levels of 6 items each, allow a text of a megabyte.
_SHORT.maxlevel = 3


def short_repr(value: object, limit: int = 60) -> str:
    """Return ``repr(value)``, truncated after about ``limit`` characters.

    Long strings and containers are truncated before they are rendered, however deep
    they nest; a value without a repr, such as a number of over 4,300 digits, is shown
    by its type.
    """
    if isinstance(value, str | bytes) and len(value) > limit:
        return f"{value[:limit]!r}..."
    try:
        text = _SHORT.repr(value) if _is_large(value, limit) else repr(value)
    except Exception as error:  # a user's repr may raise anything
        raise_of_signal(error)
        return f"<{type(value).__qualname__}>"
    return text if len(text) <= limit else f"{text[:limit]}..."


def _is_large(value: object, limit: int) -> bool:
    """Return whether containers hold more, at all depths, than a message shows."""
    waiting, room = [value], limit
    while waiting and room >= 0:
        item = waiting.pop()
        if isinstance(item, str | bytes):
            room -= len(item) // limit
        elif isinstance(item, list | tuple | set | dict):
            room -= len(item)
            if room >= 0:
                waiting += item.values() if isinstance(item, dict) else item
    return room < 0


def first_names(names: Iterable[str], most: int) -> str:
    """Return the first ``most`` of ``names``, and an ellipsis if there are more."""
    some_names = [*islice(names, most + 1)]
    text = ", ".join(some_names[:most])
    return f"{text}, ..." if len(some_names) > most else text


def with_article(name: str) -> str:
    """Return ``"an int"``, ``"an MLP"``, ``"a UNet"``: the name after its article.

    The article follows the pronunciation; capitals without a vowel are spelled out
    letter by letter.
    """
    word = name.lstrip("_'\"")
    capitals = _CAPITALS.match(word)
    if capitals and not set(capitals[0]) & set("AEIOU"):
        is_vowel = word[0] in "FHLMNRSX"
    else:
        is_vowel = word[:1].lower() in set("aeiou") and not _YOU_SOUND.match(word)
    return f"an {name}" if is_vowel else f"a {name}"


def quantity(n: int, noun: str, plural: str = "") -> str:
    """Return ``"1 tensor"``, ``"2,000 entries"``: the noun in the right number.

    ``plural`` is for nouns whose plural does not end in ``s`` or ``ies``.
    """
    if not plural:
        plural = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{n:,} {noun if n == 1 else plural}"


_CAPITALS = re.compile(r"[A-Z]+(?![a-z])")
"""The capitals that a name begins with, without the initial of a word after them."""

_YOU_SOUND = re.compile(r"U[A-Z]|[Uu](?:int|ni|se|til)")
