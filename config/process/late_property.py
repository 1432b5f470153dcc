"""late_property: a value that is slow to compute, computed once for each object."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class late_property(Generic[T]):  # it is used as functools.cached_property is
    """A property that is computed on first access, and then cached.

    Up to Python 3.11 `functools.cached_property` has one lock for all objects of a
    class, so that a process forked while a thread computes the value waits forever.
    This has no lock; two threads with simultaneous first accesses may both compute the
    value.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object, owner: type) -> T | Self:
        """Compute the value; later accesses find it in the object's own dict."""
        if instance is None:
            return self
        value: T = vars(instance).setdefault(self._name, self._compute(instance))
        return value
