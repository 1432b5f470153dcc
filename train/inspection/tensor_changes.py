"""Changes of tensors: a row of numbers for each."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...records.inspection.comparison import Distance
from .rows import Rows


@dataclass(frozen=True, slots=True)
class TensorChange:
    """A common tensor, and how much its values differ."""

    path: str
    """Its path in the first one."""
    distance: Distance
    moved: float
    """The norm of the difference by that of the first one; of one that was all zeros
    by that of its layer, in which it began at nothing."""


_COUNTS = ("n_values", "n_changed")
_NUMBERS = ("max_abs", "max_rel", "moved", "norm", "norm_of_change", "cosine")
_MAX_ABS, _MOVED, _NORM = 0, 2, 3


class TensorChanges:
    """The distances of different tensors, while others are compared.

    A row takes a hundred bytes, and the objects that it represents four times as many.
    """

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._counts = array("q")
        self._are_close = bytearray()
        self._numbers = array("d")
        self._movements = array("d")
        self.n_beyond = 0
        """How many of them are beyond the tolerance."""

    def add(self, path: str, distance: Distance) -> None:
        """Add a tensor that differs."""
        self._paths.append(path)
        self._counts.extend(getattr(distance, name) for name in _COUNTS)
        self._are_close.append(distance.is_close)
        numbers = [getattr(distance, name) for name in _NUMBERS]
        # NaN marks a missing cosine.
        self._numbers.extend(np.nan if x is None else x for x in numbers)
        self.n_beyond += not distance.is_close

    def rows(self, movement_of: Callable[[str, Distance], float]) -> Rows[TensorChange]:
        """Return the changes, the largest first."""
        numbers = np.asarray(self._numbers).reshape(-1, len(_NUMBERS))
        movements = numbers[:, _MOVED].copy()
        for i in np.flatnonzero(numbers[:, _NORM] == 0).tolist():
            movements[i] = movement_of(self._paths[i], self._distance(i))
        self._movements = array("d", movements.tobytes())
        order = np.lexsort((-numbers[:, _MAX_ABS], -movements))
        return Rows(order, self._row)

    def _row(self, number: int) -> TensorChange:
        path, movement = self._paths[number], self._movements[number]
        return TensorChange(path, self._distance(number), movement)

    def _distance(self, number: int) -> Distance:
        at = len(_COUNTS) * number
        n_values, n_changed = self._counts[at : at + len(_COUNTS)]
        at = len(_NUMBERS) * number
        numbers = self._numbers[at : at + len(_NUMBERS)]
        max_abs, max_rel, movement, norm, norm_of_change, cosine = numbers
        return Distance(
            n_values=n_values,
            n_changed=n_changed,
            max_abs=max_abs,
            max_rel=max_rel,
            moved=movement,
            norm=norm,
            norm_of_change=norm_of_change,
            cosine=None if np.isnan(cosine) else cosine,
            is_close=bool(self._are_close[number]),
        )
