"""Rows: a list whose items are kept as numbers in a table, and made on access."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

import numpy as np

Row = TypeVar("Row", covariant=True)


class Rows(Sequence[Row]):
    """Some rows of a table in an order, each made on access.

    Of hundreds of thousands a user sees forty, and objects for all of them would take
    most of the memory of a comparison.
    """

    def __init__(
        self, numbers: "np.ndarray[Any, Any]", row: Callable[[int], Row]
    ) -> None:
        """``row`` makes the object for a row number of the table."""
        self._numbers, self._row = numbers, row

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> "Row | list[Row]":
        if isinstance(place, slice):
            return [self._row(int(number)) for number in self._numbers[place]]
        return self._row(int(self._numbers[place]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list | Rows):
            return NotImplemented
        items: Sequence[Any] = other
        return len(self) == len(items) and all(map(_are_equal, self, items))

    __hash__ = None  # type: ignore[assignment]  # as of lists

    def __repr__(self) -> str:
        return repr([*self])


def _are_equal(a: object, b: object) -> bool:
    return a == b
