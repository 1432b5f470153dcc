"""Schedules given by a formula of the step."""

import math

from ...config.schedule import Schedule
from ...config.short_text import short_repr
from ..checks import check_range
from .scheduler import Scheduler, check_n_iters, check_rate


class Constant(Scheduler):
    """The same learning rate at every step."""

    value: float
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("value", self.value, 0.0)

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        return self.value


class Linear(Scheduler):
    """From ``initial_lr`` to ``final_lr`` in ``n_iters`` steps; then constant."""

    initial_lr: float
    final_lr: float
    n_iters: int
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate("Initial", self.initial_lr)
        check_rate("Final", self.final_lr)
        check_n_iters(self.n_iters)

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        if index >= self.n_iters:
            # Rounding must not leave a rate other than the final one for good.
            return self.final_lr
        progress = index / self.n_iters
        return self.initial_lr + (self.final_lr - self.initial_lr) * progress


class Exponential(Scheduler):
    """``initial_lr * gamma ** step``."""

    initial_lr: float
    gamma: float
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate("Initial", self.initial_lr)
        if not 0.0 < self.gamma <= 1.0:
            raise ValueError(
                f"Gamma must be greater than 0 and at most 1, got {self.gamma}"
            )

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        return self.initial_lr * self.gamma**index


class Step(Scheduler):
    """``initial_lr``, multiplied by ``gamma`` after every ``step_size`` steps."""

    initial_lr: float
    step_size: int
    gamma: float = 0.1
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("initial_lr", self.initial_lr, 0.0)
        check_range("gamma", self.gamma, 0.0)
        if self.step_size < 1:
            raise ValueError(f"Step size must be greater than 0, got {self.step_size}")

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        return self.initial_lr * self.gamma ** (index // self.step_size)


class Cosine(Scheduler):
    """Half a cosine from ``initial_lr`` to ``min_lr``; later steps follow the wave."""

    initial_lr: float
    n_iters: int
    min_lr: float = 0.0
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate("Initial", self.initial_lr)
        check_rate("Minimum", self.min_lr)
        check_n_iters(self.n_iters)

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        wave = (1 + math.cos(math.pi * index / self.n_iters)) / 2
        return self.min_lr + (self.initial_lr - self.min_lr) * wave


class Noam(Scheduler):
    """``factor / sqrt(model_size)`` times ``min(k**-0.5, k * warmup_steps**-1.5)``."""

    factor: float
    warmup_steps: int = 4000
    model_size: int = 512
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
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


class Curve(Scheduler):
    """The value of ``"step: 1e-3@0 lin 1e-4@1000"`` at each step.

    ``Curve(str(schedule))`` is that of a `burnish.config.Schedule`. A number after
    ``@`` is a step of the optimizer, whatever the name of the key. Raises ValueError
    for a negative value, which is not a learning rate.
    """

    text: str
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for _, value in Schedule.parse(self.text).points:
            if value < 0:
                raise ValueError(
                    f"a learning rate must be at least 0, but {short_repr(self.text)} "
                    f"goes to {value:g}"
                )

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        parsed: Schedule | None = self.__dict__.get("_parsed")
        if parsed is None:
            parsed = vars(self)["_parsed"] = Schedule.parse(self.text)
        return float(parsed(index))
