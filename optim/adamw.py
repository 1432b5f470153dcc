"""AdamW (Loshchilov and Hutter, 2019), and cautious weight decay (arXiv 2510.12402)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .adam import AdamState, adam_state, adam_update, next_moments, second_moment
from .checks import check_betas, check_range
from .simple import SimpleOptimizer


@dataclass(frozen=True, kw_only=True)
class AdamW(SimpleOptimizer[AdamState]):
    """Adam whose weight decay shrinks the weights, not the gradient."""

    _fused_kernel: ClassVar[str | None] = "adamw"

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay factors of the first and second moment, each in [0, 1)."""
    eps: float = 1e-8
    """Added to the denominator, at least 0."""
    weight_decay: float = 1e-2
    """Weights shrink by this times the learning rate; at least 0."""
    amsgrad: bool = False
    """Divide by the greatest second moment so far."""
    cautious: bool = False
    """Decay only the weights whose sign is that of their first moment."""

    def __post_init__(self) -> None:
        check_betas(self.betas)
        check_range("eps", self.eps, 0.0)
        check_range("weight_decay", self.weight_decay, 0.0)

    def init(self, tensor: Tensor) -> AdamState:
        """Return the state before the first step."""
        return adam_state(tensor, self.amsgrad)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: AdamState
    ) -> tuple[Tensor, AdamState]:
        """Return the new tensor and state."""
        state = next_moments(grad, state, self.betas, self.amsgrad)
        decayed = tensor * (1 - lr * self.weight_decay)
        if self.cautious:
            agree = (tensor >= 0) == (state.exp_avg >= 0)
            decayed = torch.where(agree, decayed, tensor)
        square = second_moment(state, self.amsgrad)
        return adam_update(lr, decayed, state, square, self.betas, self.eps), state
