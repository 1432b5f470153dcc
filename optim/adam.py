"""Adam (Kingma and Ba, 2015), and AMSGrad (Reddi et al., 2018)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_betas, check_range
from .simple import SimpleOptimizer


class AdamState(Record):
    """Running means of the gradient and of its square; torch's names."""

    step: int
    exp_avg: Tensor
    exp_avg_sq: Tensor
    max_exp_avg_sq: Tensor | None = None
    """The greatest second moment so far, with ``amsgrad``."""


@dataclass(frozen=True, kw_only=True)
class Adam(SimpleOptimizer[AdamState]):
    """Step by the mean gradient over the root of the mean squared gradient."""

    _fused_kernel: ClassVar[str | None] = "adam"

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay factors of the first and second moment, each in [0, 1)."""
    eps: float = 1e-8
    """Added to the denominator, at least 0."""
    weight_decay: float = 0.0
    """L2 penalty, added to the gradient; at least 0."""
    amsgrad: bool = False
    """Divide by the greatest second moment so far."""

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
        if self.weight_decay != 0.0:
            grad = grad.add(tensor, alpha=self.weight_decay)
        state = next_moments(grad, state, self.betas, self.amsgrad)
        square = second_moment(state, self.amsgrad)
        return adam_update(lr, tensor, state, square, self.betas, self.eps), state


def adam_state(tensor: Tensor, amsgrad: bool) -> AdamState:
    """Return moments of zero."""
    zeros = torch.zeros_like(tensor)
    return AdamState(0, zeros, zeros, zeros if amsgrad else None)


def next_moments(
    grad: Tensor, state: AdamState, betas: tuple[float, float], amsgrad: bool
) -> AdamState:
    """Return the moments updated by ``grad``; the greatest with ``amsgrad``."""
    mean = state.exp_avg.lerp(grad, 1 - betas[0])
    square = (state.exp_avg_sq * betas[1]).addcmul(grad, grad, value=1 - betas[1])
    greatest = state.max_exp_avg_sq
    if greatest is not None and amsgrad:
        greatest = torch.maximum(greatest, square)
    return AdamState(state.step + 1, mean, square, greatest)


def second_moment(state: AdamState, amsgrad: bool) -> Tensor:
    """Return the divisor of steps; a state may have a field left by ``amsgrad``."""
    greatest = state.max_exp_avg_sq
    return state.exp_avg_sq if greatest is None or not amsgrad else greatest


def adam_update(
    lr: float,
    tensor: Tensor,
    state: AdamState,
    square: Tensor,
    betas: tuple[float, float],
    eps: float,
) -> Tensor:
    """Return ``tensor`` moved by the bias-corrected moments, ``square`` the second."""
    root = (1 - betas[1] ** state.step) ** 0.5
    size = lr / (1 - betas[0] ** state.step)
    return tensor.addcdiv(state.exp_avg, square.sqrt() / root + eps, value=-size)
