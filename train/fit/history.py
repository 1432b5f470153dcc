"""History: the curves of a run, kept across resumes."""

import math
import time
from collections.abc import Iterator
from typing import Any, TypeAlias

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

Curve: TypeAlias = tuple[list[int], list[float]]
"""Steps, and a value at each."""

RATE, NORM, SECONDS = "learning rate", "gradient norm", "seconds per step"


class History(Callback):
    """Records every logged number: per metric, steps and values."""

    def __init__(self) -> None:
        self.curves: dict[str, Curve] = {}
        self.course: dict[str, Curve] = {}
        """Learning rate, norm of the gradient before clipping, and time."""
        self.has_trained = False
        """Whether this run, and not only an earlier one, trained a batch."""
        self._started = 0.0
        self._seconds: list[float] = []
        self._norm: float | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Record when a step begins."""
        self._started = time.monotonic()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Record the gradient's norm, at some steps only: it waits for a device."""
        if (trainer.global_step + 1) % _every(trainer) == 0:
            self._norm = gradient_norm(optimizer)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Record what training logged."""
        self.has_trained = True
        self._seconds.append(time.monotonic() - self._started)
        if trainer.global_step % _every(trainer) == 0:
            self._note(trainer, "training/")
            self._note_course(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record what validation logged."""
        if not trainer.sanity_checking:
            self._note(trainer, "validation/")

    def state_dict(self) -> dict[str, Any]:
        """Return the curves as plain data."""
        return {"curves": _as_lists(self.curves), "course": _as_lists(self.course)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the curves of the interrupted run."""
        self.curves = _from_lists(state_dict["curves"])
        # Older checkpoints have none.
        self.course = _from_lists(state_dict.get("course", {}))

    def _note(self, trainer: Trainer, prefix: str) -> None:
        for name, value in trainer.callback_metrics.items():
            if name.startswith(prefix):
                _add(self.curves, name, trainer.global_step, float(value))

    def _note_course(self, trainer: Trainer) -> None:
        step = trainer.global_step
        for name, rate in _rates(trainer.optimizers):
            _add(self.course, name, step, rate)
        if self._norm is not None:
            _add(self.course, NORM, step, self._norm)
        # The first step of a run includes warm-up, but the median is not affected by
        # it.
        seconds = sorted(self._seconds)
        _add(self.course, SECONDS, step, seconds[len(seconds) // 2])
        self._seconds, self._norm = [], None


def gradient_norm(optimizer: Optimizer) -> float | None:
    """Return the norm of all gradients together; None without any."""
    grads = [
        p.grad
        for g in optimizer.param_groups
        for p in g["params"]
        if p.grad is not None
    ]
    if not grads:
        return None
    squares = [float(_norm(grad.detach())) ** 2 for grad in grads]
    return math.sqrt(sum(squares))


def _norm(grad: Tensor) -> Tensor:
    values = grad.coalesce().values() if grad.is_sparse else grad
    norm: Any = torch.linalg.vector_norm(values)
    # For a tensor distributed over processes, the norm of the whole.
    full_norm: Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return full_norm


def _rates(optimizers: list[Optimizer]) -> Iterator[tuple[str, float]]:
    """Yield the learning rates, also those of groups that differ from the first."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    rates = [float(group["lr"]) for group in groups if "lr" in group]
    for i, rate in enumerate(rates):
        if i == 0 or rate != rates[0]:
            yield (RATE if i == 0 else f"{RATE} of group {i}"), rate


def _add(curves: dict[str, Curve], name: str, step: int, value: float) -> None:
    steps, values = curves.setdefault(name, ([], []))
    if not steps or steps[-1] != step:
        steps.append(step)
        values.append(value)


def _every(trainer: Trainer) -> int:
    return max(int(getattr(trainer, "log_every_n_steps", 1)), 1)


def _as_lists(curves: dict[str, Curve]) -> dict[str, Any]:
    return {name: list(curve) for name, curve in curves.items()}


def _from_lists(curves: dict[str, Any]) -> dict[str, Curve]:
    return {name: ([*steps], [*values]) for name, (steps, values) in curves.items()}
