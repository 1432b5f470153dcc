"""Adan (Xie et al., 2022, "Adaptive Nesterov Momentum Algorithm")."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_betas, check_range
from .simple import SimpleOptimizer


class AdanState(Record):
    """Running means of the gradient, its change, and the square of their sum."""

    step: int
    exp_avg: Tensor
    exp_avg_diff: Tensor
    exp_avg_sq: Tensor
    previous_grad: Tensor


@dataclass(frozen=True, kw_only=True)
class Adan(SimpleOptimizer[AdanState]):
    """Adam that also follows how the gradient changes."""

    betas: tuple[float, float, float] = (0.98, 0.92, 0.99)
    """Decay factors of the gradient, its change, and the square; each in [0, 1)."""
    eps: float = 1e-8
    """Added to the denominator, at least 0."""
    weight_decay: float = 0.0
    """Decoupled decay, at least 0."""
    no_prox: bool = False
    """Decay the weights before the step, as AdamW does, not by division after it."""

    def __post_init__(self) -> None:
        check_betas(self.betas, 3)
        check_range("eps", self.eps, 0.0)
        check_range("weight_decay", self.weight_decay, 0.0)

    def init(self, tensor: Tensor) -> AdanState:
        """Return the state before the first step."""
        zeros = torch.zeros_like(tensor)
        return AdanState(0, zeros, zeros, zeros, zeros)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: AdanState
    ) -> tuple[Tensor, AdanState]:
        """Return the new tensor and state."""
        b1, b2, b3 = self.betas
        t = state.step + 1
        # The first gradient has no predecessor to differ from.
        change = grad - (state.previous_grad if t > 1 else grad)
        mean = state.exp_avg.lerp(grad, 1 - b1)
        mean_change = state.exp_avg_diff.lerp(change, 1 - b2)
        ahead = (change * b2).add(grad)
        square = (state.exp_avg_sq * b3).addcmul(ahead, ahead, value=1 - b3)
        root = square.sqrt() / (1 - b3**t) ** 0.5 + self.eps
        decay = lr * self.weight_decay
        weights = tensor * (1 - decay) if self.no_prox else tensor
        weights = weights.addcdiv(mean, root, value=-lr / (1 - b1**t))
        weights = weights.addcdiv(mean_change, root, value=-lr * b2 / (1 - b2**t))
        if not self.no_prox:
            weights = weights / (1 + decay)
        return weights, AdanState(t, mean, mean_change, square, grad)
