"""Adadelta (Zeiler, 2012, "An Adaptive Learning Rate Method")."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_range
from .simple import SimpleOptimizer


class AdadeltaState(Record):
    """Running means of squared gradients and of squared updates; torch's names."""

    step: int
    square_avg: Tensor
    acc_delta: Tensor


@dataclass(frozen=True, kw_only=True)
class Adadelta(SimpleOptimizer[AdadeltaState]):
    """Step by the gradient, scaled by recent updates: it has the parameter's units.

    The paper has no learning rate: bind with ``lr=1.0``, torch's default.
    """

    rho: float = 0.9
    """Decay factor of both means, in [0, 1]."""
    eps: float = 1e-6
    """Added to both means before their roots, at least 0; determines the first step."""
    weight_decay: float = 0.0
    """L2 penalty, added to the gradient; at least 0."""

    def __post_init__(self) -> None:
        check_range("rho", self.rho, 0.0)
        if self.rho > 1.0:
            raise ValueError(f"rho must be in [0, 1], got {self.rho}")
        check_range("eps", self.eps, 0.0)
        check_range("weight_decay", self.weight_decay, 0.0)

    def init(self, tensor: Tensor) -> AdadeltaState:
        """Return the state before the first step."""
        zeros = torch.zeros_like(tensor)
        return AdadeltaState(0, zeros, zeros)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: AdadeltaState
    ) -> tuple[Tensor, AdadeltaState]:
        """Return the new tensor and state."""
        if self.weight_decay != 0.0:
            grad = grad.add(tensor, alpha=self.weight_decay)
        share = 1 - self.rho
        square = (state.square_avg * self.rho).addcmul(grad, grad, value=share)
        root = (square + self.eps).sqrt()
        update = (state.acc_delta + self.eps).sqrt() / root * grad
        deltas = (state.acc_delta * self.rho).addcmul(update, update, value=share)
        new_tensor = tensor.add(update, alpha=-lr)
        return new_tensor, AdadeltaState(state.step + 1, square, deltas)
