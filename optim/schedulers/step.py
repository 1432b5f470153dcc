"""Step: a learning rate that changes every so many steps."""

from ..checks import check_range
from .scheduler import Scheduler


class Step(Scheduler):
    """``initial_lr``, multiplied by ``gamma`` after every ``step_size`` steps."""

    initial_lr: float
    step_size: int
    gamma: float = 0.1
    n_steps: int = 0

    def __post_init__(self) -> None:
        check_range("initial_lr", self.initial_lr, 0.0)
        check_range("gamma", self.gamma, 0.0)
        if self.step_size < 1:
            raise ValueError(f"Step size must be greater than 0, got {self.step_size}")

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        return self.initial_lr * self.gamma ** (index // self.step_size)
