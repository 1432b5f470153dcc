"""NAdam (Dozat, 2016, "Incorporating Nesterov Momentum into Adam")."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_betas, check_range
from .simple import SimpleOptimizer


class NAdamState(Record):
    """Adam's moments, and the product of all momentum factors; torch's names."""

    step: int
    mu_product: float
    exp_avg: Tensor
    exp_avg_sq: Tensor


@dataclass(frozen=True, kw_only=True)
class NAdam(SimpleOptimizer[NAdamState]):
    """Adam that looks ahead by one step of its momentum."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay factors of the first and second moment, each in [0, 1)."""
    eps: float = 1e-8
    """Added to the denominator, at least 0."""
    weight_decay: float = 0.0
    """L2 penalty, added to the gradient; at least 0."""
    momentum_decay: float = 4e-3
    """Rate at which the momentum rises from half of ``betas[0]`` to it, at least 0."""
    decoupled_weight_decay: bool = False
    """Shrink the weights by ``lr * weight_decay`` instead, as AdamW does."""

    def __post_init__(self) -> None:
        check_betas(self.betas)
        for name in ("eps", "weight_decay", "momentum_decay"):
            check_range(name, getattr(self, name), 0.0)

    def init(self, tensor: Tensor) -> NAdamState:
        """Return the state before the first step."""
        zeros = torch.zeros_like(tensor)
        return NAdamState(0, 1.0, zeros, zeros)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: NAdamState
    ) -> tuple[Tensor, NAdamState]:
        """Return the new tensor and state."""
        if self.decoupled_weight_decay:
            tensor = tensor * (1 - lr * self.weight_decay)
        elif self.weight_decay != 0.0:
            grad = grad.add(tensor, alpha=self.weight_decay)
        t = state.step + 1
        mean = state.exp_avg.lerp(grad, 1 - self.betas[0])
        square = (state.exp_avg_sq * self.betas[1]).addcmul(
            grad, grad, value=1 - self.betas[1]
        )
        root = (square / (1 - self.betas[1] ** t)).sqrt() + self.eps
        mu, ahead = self._momentum(t), self._momentum(t + 1)
        product = state.mu_product * mu
        new_tensor = tensor.addcdiv(grad, root, value=-lr * (1 - mu) / (1 - product))
        new_tensor = new_tensor.addcdiv(
            mean, root, value=-lr * ahead / (1 - product * ahead)
        )
        return new_tensor, NAdamState(t, product, mean, square)

    def _momentum(self, t: int) -> float:
        """Return the factor of step ``t``; 0.96 is the paper's."""
        return self.betas[0] * (1 - 0.5 * float(0.96 ** (t * self.momentum_decay)))
