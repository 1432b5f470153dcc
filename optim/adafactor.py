"""Adafactor (Shazeer and Stern, 2018): second moments of matrices as two vectors."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_length, check_range
from .simple import SimpleOptimizer


class AdafactorState(Record):
    """Second moments: by row and column of a matrix, as a whole for a vector."""

    step: int
    row_var: Tensor | None = None
    col_var: Tensor | None = None
    variance: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Adafactor(SimpleOptimizer[AdafactorState]):
    """Adam's denominator in the memory of a row and a column."""

    _knows_shares: ClassVar[bool] = True

    beta2_decay: float = -0.8
    """Exponent by which the weight of a new square falls with the steps, at most 0."""
    eps: tuple[float | None, float] = (None, 1e-3)
    """Smallest second moment (None: the dtype's epsilon) and scale of a tensor."""
    d: float = 1.0
    """Updates with a greater root mean square are scaled down to it, at least 1."""
    weight_decay: float = 0.0
    """Weights shrink by this times the learning rate; at least 0."""

    def __post_init__(self) -> None:
        check_length("eps", self.eps, 2)
        if not self.beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay must be at most 0, got {self.beta2_decay}")
        check_range("eps[0]", self.eps[0] or 0.0, 0.0)
        check_range("eps[1]", self.eps[1], 0.0)
        check_range("d", self.d, 1.0)
        check_range("weight_decay", self.weight_decay, 0.0)

    def init(self, tensor: Tensor) -> AdafactorState:
        """Return the state before the first step."""
        if tensor.ndim < 2:
            return AdafactorState(0, variance=torch.zeros_like(tensor))
        row = tensor.new_zeros((*tensor.shape[:-1], 1))
        column = tensor.new_zeros((*tensor.shape[:-2], 1, tensor.shape[-1]))
        return AdafactorState(0, row, column)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: AdafactorState
    ) -> tuple[Tensor, AdafactorState]:
        """Return the new tensor and state."""
        t = state.step + 1
        least = torch.finfo(tensor.dtype).eps if self.eps[0] is None else self.eps[0]
        next_state, square = _second_moment(
            grad, state, float(t) ** self.beta2_decay, least
        )
        scale = _rms(tensor).clamp_min(self.eps[1]) * min(lr, t**-0.5)
        update = square.clamp_min(least * least).rsqrt() * grad
        size = scale / (_rms(update) / self.d).clamp_min(1.0)
        decayed = tensor * (1 - lr * self.weight_decay)
        return decayed - update * size, next_state


def _rms(tensor: Tensor) -> Tensor:
    mean: Tensor = torch.linalg.vector_norm(tensor) / tensor.numel() ** 0.5
    return mean


def _second_moment(
    grad: Tensor, state: AdafactorState, share: float, least: float
) -> tuple[AdafactorState, Tensor]:
    """Return the state updated by ``grad``, and its estimate of the square."""
    t = state.step + 1
    if state.row_var is None or state.col_var is None:
        before = state.variance
        if before is None:
            raise ValueError(
                "the state has neither variance nor both row_var and col_var; load "
                "a saved state, or delete it to start from scratch: del "
                "optim.state[param]"
            )
        variance = before.lerp(grad * grad, share)
        return AdafactorState(t, variance=variance), variance
    rows = torch.norm(grad, dim=-1, keepdim=True).square() / grad.size(-1)
    columns = torch.norm(grad, dim=-2, keepdim=True).square() / grad.size(-2)
    row, column = state.row_var.lerp(rows, share), state.col_var.lerp(columns, share)
    square = (row @ column) / row.mean(dim=-2, keepdim=True).clamp_min(least)
    return AdafactorState(t, row, column), square
