"""late_property: what takes a while to find out, asked for once for each object."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class late_property(Generic[T]):  # it is used as functools.cached_property is
    """A property that is computed when it is first asked for, and then kept.

    Up to Python 3.11 `functools.cached_property` has one lock for all objects of a
    class: a process that is forked while a thread computes it waits for ever. This has
    none, and two threads that ask at once may both compute it.
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
        """Compute it; from then on the object's own dict answers."""
        if instance is None:
            return self
        value: T = vars(instance).setdefault(self._name, self._compute(instance))
        return value
