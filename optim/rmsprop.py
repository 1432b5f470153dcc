"""RMSprop (Hinton, 2012, lecture 6), centered as in Graves (2013)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_range
from .simple import SimpleOptimizer


class RMSpropState(Record):
    """The running mean of the squared gradient; the other fields if requested."""

    step: int
    square_avg: Tensor
    momentum_buffer: Tensor | None = None
    grad_avg: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class RMSprop(SimpleOptimizer[RMSpropState]):
    """Step by the gradient over the root of its mean square."""

    alpha: float = 0.99
    """Decay factor of the mean square, at least 0."""
    eps: float = 1e-8
    """Added to the denominator, at least 0."""
    weight_decay: float = 0.0
    """L2 penalty, added to the gradient; at least 0."""
    momentum: float = 0.0
    """Decay factor of the velocity, at least 0; 0 keeps none."""
    centered: bool = False
    """Divide by an estimate of the gradient's deviation from its mean."""

    def __post_init__(self) -> None:
        for name in ("alpha", "eps", "weight_decay", "momentum"):
            check_range(name, getattr(self, name), 0.0)

    def init(self, tensor: Tensor) -> RMSpropState:
        """Return the state before the first step."""
        zeros = torch.zeros_like(tensor)
        velocity = zeros if self.momentum > 0 else None
        return RMSpropState(0, zeros, velocity, zeros if self.centered else None)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: RMSpropState
    ) -> tuple[Tensor, RMSpropState]:
        """Return the new tensor and state."""
        if self.weight_decay != 0.0:
            grad = grad.add(tensor, alpha=self.weight_decay)
        square = (state.square_avg * self.alpha).addcmul(
            grad, grad, value=1 - self.alpha
        )
        spread, mean = square, state.grad_avg
        if mean is not None and self.centered:
            mean = mean.lerp(grad, 1 - self.alpha)
            spread = square.addcmul(mean, mean, value=-1.0)
        root = spread.sqrt() + self.eps
        velocity = state.momentum_buffer
        if velocity is None or self.momentum == 0.0:
            weights = tensor.addcdiv(grad, root, value=-lr)
        else:
            velocity = (velocity * self.momentum).addcdiv(grad, root)
            weights = tensor.add(velocity, alpha=-lr)
        return weights, RMSpropState(state.step + 1, square, velocity, mean)
