"""Exponential: each learning rate the same share of the one before."""

from .scheduler import Scheduler, check_rate


class Exponential(Scheduler):
    """``initial_lr * gamma ** step``."""

    initial_lr: float
    gamma: float
    n_steps: int = 0

    def __post_init__(self) -> None:
        check_rate("Initial", self.initial_lr)
        if not 0.0 < self.gamma <= 1.0:
            raise ValueError(
                f"Gamma must be greater than 0 and at most 1, got {self.gamma}"
            )

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        return self.initial_lr * self.gamma**index
