"""Constant: one learning rate for all steps."""

from ..checks import check_range
from .scheduler import Scheduler


class Constant(Scheduler):
    """The same learning rate at every step."""

    value: float
    n_steps: int = 0

    def __post_init__(self) -> None:
        check_range("value", self.value, 0.0)

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        return self.value
