"""Cosine annealing (Loshchilov and Hutter, 2017), without restarts."""

import math

from .scheduler import Scheduler, check_n_iters, check_rate


class Cosine(Scheduler):
    """Half a cosine from ``initial_lr`` to ``min_lr``; later steps follow the wave."""

    initial_lr: float
    n_iters: int
    min_lr: float = 0.0
    n_steps: int = 0

    def __post_init__(self) -> None:
        check_rate("Initial", self.initial_lr)
        check_rate("Minimum", self.min_lr)
        check_n_iters(self.n_iters)

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        wave = (1 + math.cos(math.pi * index / self.n_iters)) / 2
        return self.min_lr + (self.initial_lr - self.min_lr) * wave
