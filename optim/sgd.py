"""SGD with momentum (Sutskever et al., 2013, "On the importance of initialization")."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_range
from .simple import SimpleOptimizer


class SGDState(Record):
    """The velocity; initially the first gradient, without dampening, as in torch."""

    momentum_buffer: Tensor
    started: bool = True


@dataclass(frozen=True, kw_only=True)
class SGD(SimpleOptimizer[SGDState | None]):
    """Step against the gradient; with momentum, against its running sum."""

    _fused_kernel: ClassVar[str | None] = "sgd"

    momentum: float = 0.0
    """Decay factor of the velocity, at least 0; 0 keeps no state."""
    dampening: float = 0.0
    """Fraction of a gradient that does not enter the velocity."""
    weight_decay: float = 0.0
    """L2 penalty, added to the gradient; at least 0."""
    nesterov: bool = False
    """Look ahead by one velocity. Unlike in torch, dampening is allowed with it."""

    def __post_init__(self) -> None:
        check_range("momentum", self.momentum, 0.0)
        check_range("weight_decay", self.weight_decay, 0.0)
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov needs a momentum greater than 0, got 0.0")

    def init(self, tensor: Tensor) -> SGDState | None:
        """Return the state before the first step."""
        if self.momentum == 0.0:
            return None
        return SGDState(torch.zeros_like(tensor), started=False)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: SGDState | None
    ) -> tuple[Tensor, SGDState | None]:
        """Return the new tensor and state."""
        if self.weight_decay != 0.0:
            grad = grad.add(tensor, alpha=self.weight_decay)
        if self.momentum == 0.0:
            return tensor.add(grad, alpha=-lr), state
        if state is None or not state.started:
            velocity = grad
        else:
            momentum_term = state.momentum_buffer * self.momentum
            velocity = momentum_term.add(grad, alpha=1 - self.dampening)
        ahead = grad.add(velocity, alpha=self.momentum) if self.nesterov else velocity
        return tensor.add(ahead, alpha=-lr), SGDState(velocity)
