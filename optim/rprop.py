"""Rprop (Riedmiller and Braun, 1993), as iRprop- (Igel and Huesken, 2000)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_length
from .simple import SimpleOptimizer


class RpropState(Record):
    """The previous gradient, 0 where it turned, and each weight's step size."""

    step: int
    prev: Tensor
    step_size: Tensor


@dataclass(frozen=True, kw_only=True)
class Rprop(SimpleOptimizer[RpropState]):
    """Step by the sign alone, each weight by a size that grows until the sign changes.

    It is meant for gradients of all the data. ``lr`` is the size of the first step; a
    schedule changes nothing after it.
    """

    etas: tuple[float, float] = (0.5, 1.2)
    """A size is multiplied by the first, in (0, 1), or the second, above 1."""
    step_sizes: tuple[float, float] = (1e-6, 50.0)
    """The smallest and the greatest size."""

    def __post_init__(self) -> None:
        check_length("etas", self.etas, 2)
        check_length("step_sizes", self.step_sizes, 2)
        if not 0.0 < self.etas[0] < 1.0 < self.etas[1]:
            raise ValueError(
                f"etas must be one in (0, 1) and one above 1, got {self.etas}"
            )
        if not 0.0 <= self.step_sizes[0] <= self.step_sizes[1]:
            raise ValueError(
                "step_sizes must be the smallest and the largest step, both at "
                f"least 0, got {self.step_sizes}"
            )

    def init(self, tensor: Tensor) -> RpropState:
        """Return the state before the first step, which takes its size from ``lr``."""
        zeros = torch.zeros_like(tensor)
        return RpropState(0, zeros, zeros)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: RpropState
    ) -> tuple[Tensor, RpropState]:
        """Return the new tensor and state."""
        size = state.step_size
        if state.step == 0:
            size = torch.full_like(size, lr)
        agreement = (grad * state.prev).sign()
        size = torch.where(agreement > 0, size * self.etas[1], size)
        size = torch.where(agreement < 0, size * self.etas[0], size)
        size = size.clamp(*self.step_sizes)
        grad = torch.where(agreement < 0, torch.zeros_like(grad), grad)
        new_tensor = tensor.addcmul(grad.sign(), size, value=-1.0)
        return new_tensor, RpropState(state.step + 1, grad, size)
