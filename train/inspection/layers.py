"""Which layers moved: the changes of tensors put together by layer."""

import math
import re
from dataclasses import dataclass

from ...records.inspection.comparison import Distance


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
    """What is known of each layer, while tensors are compared."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sums] = {}

    def add(self, path: str, distance: Distance) -> None:
        """Count a tensor that both have in one shape."""
        self._sums.setdefault(layer_of(path), _Sums()).add(distance)

    def movement_of(self, path: str, distance: Distance) -> float:
        """Return how far a tensor moved that was counted, by its norm.

        By that of its layer where its own is zero: one that was all zeros would have
        moved farther than all others, however little it did.
        """
        norm = self._sums[layer_of(path)].norm
        return (
            distance.moved if distance.norm else _share(distance.norm_of_change, norm)
        )

    def changed(self) -> list[LayerChange]:
        """Return the layers with other values, the one that moved most first."""
        layers = [sums.result(path) for path, sums in self._sums.items()]
        changed = [layer for layer in layers if layer.n_changed]
        return sorted(changed, key=lambda layer: -layer.moved)


class _Sums:
    __slots__ = ("change", "n_changed", "n_tensors", "norm")

    def __init__(self) -> None:
        self.n_tensors = self.n_changed = 0
        self.norm = self.change = 0.0

    def add(self, distance: Distance) -> None:
        self.n_tensors += 1
        self.n_changed += distance.n_changed > 0
        # Squares of large and tiny norms have no float64: `hypot` takes none.
        self.norm = math.hypot(self.norm, distance.norm)
        self.change = math.hypot(self.change, distance.norm_of_change)

    def result(self, path: str) -> LayerChange:
        return LayerChange(
            path=path,
            moved=_share(self.change, self.norm),
            n_changed=self.n_changed,
            n_tensors=self.n_tensors,
        )


def _share(change: float, norm: float) -> float:
    return change / norm if norm else math.inf if change else 0.0


def layer_of(path: str) -> str:
    """Return the part of a path that names a layer: up to the first number in it."""
    match = _UP_TO_NUMBER.match(path)
    return match[0] if match else path.rpartition(".")[0] or path


_UP_TO_NUMBER = re.compile(r"(?:[^.]*\.)*?\d+(?=\.)")
