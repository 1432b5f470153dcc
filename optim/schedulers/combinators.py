"""Schedules composed of others, which are stored as plain data."""

import math
from typing import Any

from ...config.short_text import short_repr
from .scheduler import Scheduler, scheduler_of


class Parent(Scheduler):
    """A schedule whose first field holds others; it counts the steps for all."""

    schedulers: list[Any]

    def __post_init__(self) -> None:
        if not isinstance(self.schedulers, list | tuple):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            name, example = type(self).__name__, "[Cosine(1e-3, 1000)]"
            raise TypeError(
                f"{name} takes a list of schedules, as in {name}({example}, ...), got "
                f"{short_repr(self.schedulers)}"
            )
        super().__post_init__()
        # Both data and objects are accepted; steps use the objects.
        self.schedulers = [scheduler_of(scheduler) for scheduler in self.schedulers]
        for child in self.schedulers:
            self._check_start(child)

    def _check_start(self, child: Scheduler) -> None:
        """Raise ValueError for a child that has made steps, since its parent counts."""
        n_steps: int = getattr(child, "n_steps", 0)
        if n_steps:
            name, child_name = type(self).__name__, type(child).__name__
            raise ValueError(
                f"{name} counts the steps of its schedules, so n_steps={n_steps} "
                f"of {child_name} would be ignored: remove it there, and pass "
                f"the step to start at as {name}(..., n_steps=...)"
            )

    @property
    def children(self) -> list[Scheduler]:
        """The schedules that this one is composed of."""
        children = [scheduler_of(scheduler) for scheduler in self.schedulers]
        self.schedulers = list(children)
        return children

    def fields(self) -> dict[str, Any]:
        """Return the fields, with the children as plain data."""
        child_states = [child.state_dict() for child in self.children]
        return {**super().fields(), "schedulers": child_states}

    def settings(self) -> dict[str, Any]:
        """Return the fields, with the settings of the children."""
        children = [(type(child), child.settings()) for child in self.children]
        return {**super().settings(), "schedulers": children}


_REDUCTIONS = ("product", "sum", "mean")


class Composed(Parent):
    """The product (or ``"sum"``, ``"mean"``) of the rates of ``schedulers``."""

    reduction: str = "product"
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.schedulers:
            raise ValueError("At least one scheduler is required, got none")
        if self.reduction not in _REDUCTIONS:
            raise ValueError(
                f"reduction must be one of {_REDUCTIONS}, got {self.reduction!r}"
            )

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        rates = [child.at(index) for child in self.children]
        if self.reduction == "product":
            return math.prod(rates)
        return sum(rates) / (len(rates) if self.reduction == "mean" else 1)


class Sequential(Parent):
    """Each of ``schedulers`` until its milestone, starting at its own first step."""

    milestones: list[int]
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.schedulers:
            raise ValueError("At least one scheduler is required, got none")
        if len(self.milestones) != len(self.schedulers) - 1:
            raise ValueError(
                "The number of milestones must be one less than the number of "
                f"schedulers, got {len(self.milestones)} and {len(self.schedulers)}"
            )
        pairs = zip([0, *self.milestones], self.milestones, strict=False)
        if any(a >= b for a, b in pairs):
            raise ValueError(
                "Milestones must be greater than zero and strictly increasing, got "
                f"{self.milestones}"
            )

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        begun = [m for m in self.milestones if m <= index]
        return self.children[len(begun)].at(index - (begun[-1] if begun else 0))


class Warmup(Parent):
    """Linear from ``start_factor`` of the schedule's first rate, then the schedule.

    ``Warmup([Cosine(0.1, 1000)], n_warmup=100)`` is the usual combination.
    """

    n_warmup: int
    start_factor: float = 0.0
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.schedulers) != 1:
            raise ValueError(f"Warmup takes one schedule, got {len(self.schedulers)}")
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
