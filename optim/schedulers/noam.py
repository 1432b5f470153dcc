"""Noam: linear warm-up, then the inverse square root (Vaswani et al., 2017)."""

from ..checks import check_range
from .scheduler import Scheduler


class Noam(Scheduler):
    """``factor / sqrt(model_size)`` times ``min(k**-0.5, k * warmup_steps**-1.5)``."""

    factor: float
    warmup_steps: int = 4000
    model_size: int = 512
    n_steps: int = 0

    def __post_init__(self) -> None:
        check_range("factor", self.factor, 0.0)
        if self.warmup_steps < 1:
            raise ValueError(
                "Number of steps before exponential decay starts must be greater than "
                f"0, got {self.warmup_steps}"
            )
        if self.model_size < 1:
            raise ValueError(
                f"Model size must be greater than 0, got {self.model_size}"
            )

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        k = index + 1
        rise = min(k**-0.5, k * self.warmup_steps**-1.5)
        return float(self.factor * self.model_size**-0.5 * rise)
