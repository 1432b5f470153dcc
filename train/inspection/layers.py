"""Changes of tensors, summarized by layer."""

import math
import re
from array import array
from dataclasses import dataclass

import numpy as np

from ...records.inspection.comparison import Distance
from .rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChange:
    """How much the tensors of a layer differ: all common ones together."""

    path: str
    """Path up to its first number, as ``model.layers.7``; else that of the module."""
    moved: float
    """Norm of the difference, divided by the norm of the first one."""
    n_changed: int
    """Number of tensors with different values."""
    n_tensors: int


class LayerChanges:
    """The sums of each layer, while tensors are compared: a row of numbers.

    A row is for consecutive tensors of one layer, usually all of it. Rows of one layer
    are merged at the end: until then a row needs only numbers and the path of a tensor,
    which is kept anyway.
    """

    def __init__(self) -> None:
        self._paths: list[str] = []
        """The path of the first tensor of each row."""
        self._last_layer: str | None = None
        self._n_tensors, self._n_changed = array("I"), array("I")
        self._norms, self._changes = array("d"), array("d")
        self._rows: dict[str, int] = {}
        """By layer, once all are counted."""

    def add(self, path: str, distance: Distance) -> None:
        """Count a common tensor with equal shapes."""
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
        # Squares of large and tiny norms overflow float64; `hypot` avoids them.
        self._norms[-1] = math.hypot(self._norms[-1], distance.norm)
        self._changes[-1] = math.hypot(self._changes[-1], distance.norm_of_change)

    def put_together(self) -> None:
        """Merge the rows of a layer into one, once all tensors are counted."""
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
        """Return the relative change of a counted tensor.

        It is relative to its layer where its own norm is zero: a tensor that was all
        zeros would otherwise have the largest change of all, however small it was.
        """
        if distance.norm:
            return distance.moved
        norm = self._norms[self._rows[layer_of(path)]]
        return _share(distance.norm_of_change, norm)

    def changed(self) -> Rows[LayerChange]:
        """Return the layers with different values, the largest change first."""
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
    """Return the layer's path: up to the first number in it."""
    match = _UP_TO_NUMBER.match(path)
    return match[0] if match else path.rpartition(".")[0] or path


_UP_TO_NUMBER = re.compile(r"(?:[^.]*\.)*?\d+(?=\.)")
