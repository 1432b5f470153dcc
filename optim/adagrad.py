"""Adagrad (Duchi et al., 2011, "Adaptive Subgradient Methods")."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_range
from .simple import SimpleOptimizer


class AdagradState(Record):
    """The sum of all squared gradients."""

    step: int
    sum: Tensor


@dataclass(frozen=True, kw_only=True)
class Adagrad(SimpleOptimizer[AdagradState]):
    """Step by the gradient over the root of the sum of all its squares."""

    _fused_kernel: ClassVar[str | None] = "adagrad"

    lr_decay: float = 0.0
    """The learning rate is divided by one plus this times the number of past steps."""
    weight_decay: float = 0.0
    """L2 penalty, added to the gradient; at least 0."""
    initial_accumulator_value: float = 0.0
    """Initial value of the sum of squares, at least 0."""
    eps: float = 1e-10
    """Added to the denominator, at least 0."""

    def __post_init__(self) -> None:
        check_range("lr_decay", self.lr_decay, 0.0)
        check_range("weight_decay", self.weight_decay, 0.0)
        check_range("initial_accumulator_value", self.initial_accumulator_value, 0.0)
        check_range("eps", self.eps, 0.0)

    def init(self, tensor: Tensor) -> AdagradState:
        """Return the state before the first step."""
        return AdagradState(0, torch.full_like(tensor, self.initial_accumulator_value))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: AdagradState
    ) -> tuple[Tensor, AdagradState]:
        """Return the new tensor and state."""
        if self.weight_decay != 0.0:
            grad = grad.add(tensor, alpha=self.weight_decay)
        size = lr / (1 + state.step * self.lr_decay)
        total = state.sum.addcmul(grad, grad, value=1.0)
        weights = tensor.addcdiv(grad, total.sqrt() + self.eps, value=-size)
        return weights, AdagradState(state.step + 1, total)
