"""Lion (Chen et al., 2023, "Symbolic Discovery of Optimization Algorithms")."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_betas, check_range
from .simple import SimpleOptimizer


class LionState(Record):
    """The running mean of the gradient."""

    exp_avg: Tensor


@dataclass(frozen=True, kw_only=True)
class Lion(SimpleOptimizer[LionState]):
    """Step by the sign of the mean gradient; every weight moves by the same amount."""

    betas: tuple[float, float] = (0.9, 0.99)
    """Decay factors of the mean in the step, and in the state; each in [0, 1)."""
    weight_decay: float = 0.0
    """Weights shrink by this times the learning rate; at least 0."""

    def __post_init__(self) -> None:
        check_betas(self.betas)
        check_range("weight_decay", self.weight_decay, 0.0)

    def init(self, tensor: Tensor) -> LionState:
        """Return the state before the first step."""
        return LionState(torch.zeros_like(tensor))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: LionState
    ) -> tuple[Tensor, LionState]:
        """Return the new tensor and state."""
        b1, b2 = self.betas
        direction = (state.exp_avg * b1).add(grad, alpha=1 - b1).sign()
        mean = (state.exp_avg * b2).add(grad, alpha=1 - b2)
        decayed = tensor * (1 - lr * self.weight_decay)
        return decayed.add(direction, alpha=-lr), LionState(mean)
