"""Composed: several schedules at once, made one by product, sum or mean."""

import math

from .children import Parent

_REDUCTIONS = ("product", "sum", "mean")


class Composed(Parent):
    """The product (or ``"sum"``, ``"mean"``) of what ``schedulers`` give."""

    reduction: str = "product"
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.schedulers:
            raise ValueError("At least one scheduler is required, got none")
        if self.reduction not in _REDUCTIONS:
            raise ValueError(
                f"reduction must be one of {_REDUCTIONS}, got {self.reduction!r}"
            )

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        rates = [child.at(index) for child in self.children]
        if self.reduction == "product":
            return math.prod(rates)
        return sum(rates) / (len(rates) if self.reduction == "mean" else 1)
