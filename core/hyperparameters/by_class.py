"""What is found out once for each module class."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from torch import nn

T = TypeVar("T")


def by_class(find: Callable[[type[nn.Module]], T]) -> Callable[[type[nn.Module]], T]:
    """Make ``find`` remember what it returned for a class."""
    known: dict[type[nn.Module], T] = {}

    @wraps(find)
    def remembered(cls: type[nn.Module]) -> T:
        if cls not in known:
            known[cls] = find(cls)
        return known[cls]

    return remembered
