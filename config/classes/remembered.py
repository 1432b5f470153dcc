"""A cache of facts about classes, limited in size."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])

_MOST = 4096
"""Cached classes; a notebook that redefines a class again and again drops old ones."""


def remembered(find: F) -> F:
    """Cache what ``find`` returns for a class, or a type of a field.

    The result refers to the class, so that a weak reference would never release it;
    instead the least recently used entry is dropped.
    """
    return lru_cache(maxsize=_MOST)(find)  # type: ignore[return-value]  # its arguments are hashable
