"""Linear: from one learning rate to another in equal parts."""

from .scheduler import Scheduler, check_n_iters, check_rate


class Linear(Scheduler):
    """From ``initial_lr`` to ``final_lr`` in ``n_iters`` steps; then constant."""

    initial_lr: float
    final_lr: float
    n_iters: int
    n_steps: int = 0

    def __post_init__(self) -> None:
        check_rate("Initial", self.initial_lr)
        check_rate("Final", self.final_lr)
        check_n_iters(self.n_iters)

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        progress = min(index, self.n_iters) / self.n_iters
        return self.initial_lr + (self.final_lr - self.initial_lr) * progress
