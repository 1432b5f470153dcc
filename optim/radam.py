"""RAdam (Liu et al., 2020, "On the Variance of the Adaptive Learning Rate")."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_betas, check_range
from .simple import SimpleOptimizer


class RAdamState(Record):
    """Running means of the gradient and of its square; torch's names."""

    step: int
    exp_avg: Tensor
    exp_avg_sq: Tensor


@dataclass(frozen=True, kw_only=True)
class RAdam(SimpleOptimizer[RAdamState]):
    """Adam that divides only once its second moment has seen enough gradients."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay factors of the first and second moment, each in [0, 1)."""
    eps: float = 1e-8
    """Added to the denominator, at least 0."""
    weight_decay: float = 0.0
    """L2 penalty, added to the gradient; at least 0."""
    decoupled_weight_decay: bool = False
    """Shrink the weights by ``lr * weight_decay`` instead, as AdamW does."""

    def __post_init__(self) -> None:
        check_betas(self.betas)
        check_range("eps", self.eps, 0.0)
        check_range("weight_decay", self.weight_decay, 0.0)

    def init(self, tensor: Tensor) -> RAdamState:
        """Return the state before the first step."""
        zeros = torch.zeros_like(tensor)
        return RAdamState(0, zeros, zeros)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: RAdamState
    ) -> tuple[Tensor, RAdamState]:
        """Return the new tensor and state."""
        if self.decoupled_weight_decay:
            tensor = tensor * (1 - lr * self.weight_decay)
        elif self.weight_decay != 0.0:
            grad = grad.add(tensor, alpha=self.weight_decay)
        t, (b1, b2) = state.step + 1, self.betas
        mean = state.exp_avg.lerp(grad, 1 - b1)
        square = (state.exp_avg_sq * b2).addcmul(grad, grad, value=1 - b2)
        size = lr / (1 - b1**t)
        rectification = self._rectification(t)
        if rectification is None:
            new_tensor = tensor.add(mean, alpha=-size)
        else:
            size *= rectification * (1 - b2**t) ** 0.5
            new_tensor = tensor.addcdiv(mean, square.sqrt() + self.eps, value=-size)
        return new_tensor, RAdamState(t, mean, square)

    def _rectification(self, t: int) -> float | None:
        """Return the factor r of step ``t``, or None while the variance is unknown.

        The paper divides if the length of the average is above 4, torch if it is above
        5.
        """
        share = self.betas[1] ** t
        longest = 2 / (1 - self.betas[1]) - 1
        length = longest - 2 * t * share / (1 - share)
        if length <= 5:
            return None
        above = (length - 4) * (length - 2) * longest
        return float((above / ((longest - 4) * (longest - 2) * length)) ** 0.5)
