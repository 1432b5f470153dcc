"""What is remembered of classes: of as many as a program has, and of no more."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])

_MOST = 4096
"""Classes that are remembered: a notebook that defines one again and again forgets."""


def remembered(find: F) -> F:
    """Make ``find`` remember what it returned for a class, or a type of fields.

    A class refers to itself in what is found of it, so that no weak reference would
    let go of it: the one that was longest not asked for is forgotten.
    """
    return lru_cache(maxsize=_MOST)(find)  # type: ignore[return-value]  # its arguments are hashable
