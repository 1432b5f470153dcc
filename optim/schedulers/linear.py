"""Linear: from one learning rate to another in equal parts."""

from .scheduler import Scheduler, check_initial_lr, check_n_iters


class Linear(Scheduler):
    """From ``initial_lr`` to ``final_lr`` in ``n_iters`` steps; then constant."""

    initial_lr: float
    final_lr: float
    n_iters: int
    n_steps: int = 0

    def __post_init__(self) -> None:
        check_initial_lr(self.initial_lr)
        if not 0.0 <= self.final_lr <= 1.0:
            raise ValueError(
                "Final learning rate must be at least 0 and at most 1, got "
                f"{self.final_lr}"
            )
        check_n_iters(self.n_iters)

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        done = min(index, self.n_iters) / self.n_iters
        return self.initial_lr + (self.final_lr - self.initial_lr) * done
