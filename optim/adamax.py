"""Adamax (Kingma and Ba, 2015, section 7.1): Adam by the infinity norm."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_betas, check_range
from .simple import SimpleOptimizer


class AdamaxState(Record):
    """The running mean of the gradient, and its decayed maximum; torch's names."""

    step: int
    exp_avg: Tensor
    exp_inf: Tensor


@dataclass(frozen=True, kw_only=True)
class Adamax(SimpleOptimizer[AdamaxState]):
    """Step by the mean gradient over the greatest recent gradient."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay factors of the mean and of the maximum, each in [0, 1)."""
    eps: float = 1e-8
    """Added to each gradient's absolute value, at least 0. The paper has none."""
    weight_decay: float = 0.0
    """L2 penalty, added to the gradient; at least 0."""

    def __post_init__(self) -> None:
        check_betas(self.betas)
        check_range("eps", self.eps, 0.0)
        check_range("weight_decay", self.weight_decay, 0.0)

    def init(self, tensor: Tensor) -> AdamaxState:
        """Return the state before the first step."""
        zeros = torch.zeros_like(tensor)
        return AdamaxState(0, zeros, zeros)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: AdamaxState
    ) -> tuple[Tensor, AdamaxState]:
        """Return the new tensor and state."""
        if self.weight_decay != 0.0:
            grad = grad.add(tensor, alpha=self.weight_decay)
        t = state.step + 1
        mean = state.exp_avg.lerp(grad, 1 - self.betas[0])
        greatest = torch.maximum(state.exp_inf * self.betas[1], grad.abs() + self.eps)
        size = lr / (1 - self.betas[0] ** t)
        new_tensor = tensor.addcdiv(mean, greatest, value=-size)
        return new_tensor, AdamaxState(t, mean, greatest)
