"""What is found out once for each module class."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from torch import nn

T = TypeVar("T")

_MOST = 4096
"""Classes that are remembered: a notebook that defines one again and again forgets."""


def by_class(find: Callable[[type[nn.Module]], T]) -> Callable[[type[nn.Module]], T]:
    """Make ``find`` remember what it returned for a class."""
    remembering: Callable[[type[nn.Module]], T] = lru_cache(maxsize=_MOST)(find)  # type: ignore[assignment]  # its arguments are hashable
    return remembering
