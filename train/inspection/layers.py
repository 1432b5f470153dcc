"""Which layers moved: the changes of tensors put together by layer."""

import math
import re
from array import array
from dataclasses import dataclass

import numpy as np

from ...records.inspection.comparison import Distance
from .rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChange:
    """How far the tensors of a layer are apart, all those that both have together."""

    path: str
    """Up to the first number in it, as ``model.layers.7``; else that of the module."""
    moved: float
    """The norm of the difference by that of the first one, of all values together."""
    n_changed: int
    """How many tensors have other values."""
    n_tensors: int


class LayerChanges:
    """What is known of each layer, while tensors are compared: a row of numbers.

    A row is of a run of tensors of one layer, most often all of it. Rows of one layer
    are put together once all are there: until then no row needs more than numbers and
    the path of a tensor, which others keep anyway.
    """

    def __init__(self) -> None:
        self._paths: list[str] = []
        """Of the first tensor of each row."""
        self._last_layer: str | None = None
        self._n_tensors, self._n_changed = array("I"), array("I")
        self._norms, self._changes = array("d"), array("d")
        self._rows: dict[str, int] = {}
        """By layer, once all are counted."""

    def add(self, path: str, distance: Distance) -> None:
        """Count a tensor that both have in one shape."""
        layer = layer_of(path)
        if layer != self._last_layer:
            self._last_layer = layer
            self._paths.append(path)
            for column in (self._n_tensors, self._n_changed):
                column.append(0)
            for sums in (self._norms, self._changes):
                sums.append(0.0)
        self._n_tensors[-1] += 1
        self._n_changed[-1] += distance.n_changed > 0
        # Squares of large and tiny norms have no float64: `hypot` takes none.
        self._norms[-1] = math.hypot(self._norms[-1], distance.norm)
        self._changes[-1] = math.hypot(self._changes[-1], distance.norm_of_change)

    def put_together(self) -> None:
        """Make one row of those of a layer, once all tensors are counted."""
        for row, path in enumerate(self._paths):
            layer = self._rows.setdefault(layer_of(path), row)
            if layer == row:
                continue
            self._n_tensors[layer] += self._n_tensors[row]
            self._n_changed[layer] += self._n_changed[row]
            self._norms[layer] = math.hypot(self._norms[layer], self._norms[row])
            self._changes[layer] = math.hypot(self._changes[layer], self._changes[row])
            self._n_changed[row] = 0

    def movement_of(self, path: str, distance: Distance) -> float:
        """Return how far a tensor moved that was counted, by its norm.

        By that of its layer where its own is zero: one that was all zeros would have
        moved farther than all others, however little it did.
        """
        if distance.norm:
            return distance.moved
        norm = self._norms[self._rows[layer_of(path)]]
        return _share(distance.norm_of_change, norm)

    def changed(self) -> Rows[LayerChange]:
        """Return the layers with other values, the one that moved most first."""
        rows = np.flatnonzero(np.array(self._n_changed))
        movements = np.fromiter(
            (self._movement(int(i)) for i in rows), np.float64, len(rows)
        )
        order = rows[np.argsort(-movements, kind="stable")] if len(rows) else rows
        return Rows(order, self._row)

    def _movement(self, row: int) -> float:
        return _share(self._changes[row], self._norms[row])

    def _row(self, row: int) -> LayerChange:
        return LayerChange(
            path=layer_of(self._paths[row]),
            moved=self._movement(row),
            n_changed=self._n_changed[row],
            n_tensors=self._n_tensors[row],
        )


def _share(change: float, norm: float) -> float:
    return change / norm if norm else math.inf if change else 0.0


def layer_of(path: str) -> str:
    """Return the part of a path that names a layer: up to the first number in it."""
    match = _UP_TO_NUMBER.match(path)
    return match[0] if match else path.rpartition(".")[0] or path


_UP_TO_NUMBER = re.compile(r"(?:[^.]*\.)*?\d+(?=\.)")
