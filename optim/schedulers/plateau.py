"""Plateau: a learning rate that falls when a metric stops improving."""

import math
from typing import Any

from ..checks import check_range
from .scheduler import Scheduler

_PROGRESS = ("current", "best", "n_bad", "n_cooling")
_MODES, _THRESHOLDS = ("min", "max"), ("rel", "abs")


class Plateau(Scheduler):
    """``initial_lr`` until `observe` has seen no improvement for ``patience`` calls.

    The rules are those of `torch.optim.lr_scheduler.ReduceLROnPlateau`.
    """

    initial_lr: float
    mode: str = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8
    current: float | None = None
    best: float | None = None
    n_bad: int = 0
    n_cooling: int = 0
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("initial_lr", self.initial_lr, 0.0)
        check_range("factor", self.factor, 0.0, 1.0)
        if self.mode not in _MODES:
            raise ValueError(f"mode must be one of {_MODES}, got {self.mode!r}")
        if self.threshold_mode not in _THRESHOLDS:
            raise ValueError(
                f"threshold_mode must be one of {_THRESHOLDS}, got "
                f"{self.threshold_mode!r}"
            )

    def settings(self) -> dict[str, Any]:
        """Return the fields without its observations, and their results."""
        return {n: v for n, v in super().settings().items() if n not in _PROGRESS}

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        return self.initial_lr if self.current is None else self.current

    def observe(self, metric: float) -> float:
        """Observe a metric, and return the learning rate from now on."""
        metric = float(metric)
        if self._is_better(metric):
            self.best, self.n_bad = metric, 0
        else:
            self.n_bad += 1
        if self.n_cooling > 0:
            self.n_cooling, self.n_bad = self.n_cooling - 1, 0
        if self.n_bad > self.patience:
            self._reduce()
        return self.lr()

    def _reduce(self) -> None:
        lr = self.lr()
        lower = max(lr * self.factor, self.min_lr)
        if lr - lower > self.eps:
            self.current = lower
        self.n_cooling, self.n_bad = self.cooldown, 0

    def _is_better(self, metric: float) -> bool:
        worst = math.inf if self.mode == "min" else -math.inf
        best = worst if self.best is None else self.best
        sign = 1.0 if self.mode == "min" else -1.0
        if self.threshold_mode == "abs":
            return sign * metric < sign * best - self.threshold
        return sign * metric < sign * best * (1.0 - sign * self.threshold)
