"""LAMB (You et al., 2020, "Large Batch Optimization for Deep Learning")."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_betas, check_range
from .simple import SimpleOptimizer

_GREATEST_NORM = 10.0


class LAMBState(Record):
    """Running means of the gradient and of its square."""

    step: int
    exp_avg: Tensor
    exp_avg_sq: Tensor


@dataclass(frozen=True, kw_only=True)
class LAMB(SimpleOptimizer[LAMBState]):
    """Adam's direction, scaled by the norm of the layer's weights.

    The first moment alone is bias-corrected, and the norm is limited to 10, as in the
    authors' later code.
    """

    _knows_shares: ClassVar[bool] = True

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay factors of the first and second moment, each in [0, 1)."""
    eps: float = 1e-6
    """Added to the denominators, at least 0."""
    weight_decay: float = 0.0
    """Added to the direction before it is scaled, times the weights; at least 0."""

    def __post_init__(self) -> None:
        check_betas(self.betas)
        check_range("eps", self.eps, 0.0)
        check_range("weight_decay", self.weight_decay, 0.0)

    def init(self, tensor: Tensor) -> LAMBState:
        """Return the state before the first step."""
        zeros = torch.zeros_like(tensor)
        return LAMBState(0, zeros, zeros)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: LAMBState
    ) -> tuple[Tensor, LAMBState]:
        """Return the new tensor and state."""
        b1, b2 = self.betas
        t = state.step + 1
        mean = (state.exp_avg * b1).add(grad, alpha=1 - b1)
        square = (state.exp_avg_sq * b2).addcmul(grad, grad, value=1 - b2)
        direction = mean / (square.sqrt() + self.eps)
        if self.weight_decay != 0.0:
            direction = direction.add(tensor, alpha=self.weight_decay)
        ratio = _trust(tensor, direction, self.eps)
        weights = tensor - direction * (ratio * (lr / (1 - b1**t)))
        return weights, LAMBState(t, mean, square)


def _trust(tensor: Tensor, direction: Tensor, eps: float) -> Tensor:
    """Return the norm of the weights over that of the step; 1 if either is 0."""
    weights = torch.linalg.vector_norm(tensor).clamp_max(_GREATEST_NORM)
    length = torch.linalg.vector_norm(direction)
    ratio = weights / (length + eps)
    return torch.where((weights == 0) | (length == 0), torch.ones_like(ratio), ratio)
