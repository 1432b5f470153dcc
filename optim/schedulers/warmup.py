"""Warmup: a linear rise to where another schedule begins."""

from .children import Parent


class Warmup(Parent):
    """Linear from ``start_factor`` of the schedule's first rate, then the schedule.

    ``Warmup([Cosine(0.1, 1000)], n_warmup=100)`` is the usual pair.
    """

    n_warmup: int
    start_factor: float = 0.0
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.schedulers) != 1:
            raise ValueError(
                f"Warmup leads to one schedule, got {len(self.schedulers)}"
            )
        if self.n_warmup < 1:
            raise ValueError(
                f"Number of warm-up steps must be at least 1, got {self.n_warmup}"
            )
        if not 0.0 <= self.start_factor <= 1.0:
            raise ValueError(f"start_factor must be in [0, 1], got {self.start_factor}")

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        after = self.children[0]
        if index >= self.n_warmup:
            return after.at(index - self.n_warmup)
        progress = index / self.n_warmup
        return after.at(0) * (self.start_factor + (1 - self.start_factor) * progress)
