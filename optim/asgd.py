"""ASGD (Polyak and Juditsky, 1992): averaged SGD, with the rate of Bottou (2010)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_range
from .simple import SimpleOptimizer


class ASGDState(Record):
    """The average, and the rate and the average's weight in the next step.

    torch's names, and as with torch, `ax` is read from the state: `optim.state[p]`.
    """

    step: int
    eta: float
    mu: float
    ax: Tensor


@dataclass(frozen=True, kw_only=True)
class ASGD(SimpleOptimizer[ASGDState]):
    """SGD with a falling rate, and an average of the weights from a certain step on."""

    lambd: float = 1e-4
    """Weights shrink by this times the rate, which falls with it; at least 0."""
    alpha: float = 0.75
    """The exponent by which the rate falls."""
    t0: float = 1e6
    """The step after which weights are averaged; before it, the average follows."""
    weight_decay: float = 0.0
    """L2 penalty, added to the gradient; at least 0."""

    def __post_init__(self) -> None:
        check_range("lambd", self.lambd, 0.0)
        check_range("weight_decay", self.weight_decay, 0.0)

    def init(self, tensor: Tensor) -> ASGDState:
        """Return the state before the first step, which takes its rate from ``lr``."""
        return ASGDState(0, 0.0, 1.0, torch.zeros_like(tensor))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: ASGDState
    ) -> tuple[Tensor, ASGDState]:
        """Return the new tensor and state."""
        if self.weight_decay != 0.0:
            grad = grad.add(tensor, alpha=self.weight_decay)
        t = state.step + 1
        # A rate that was set since takes effect one step later, as in torch.
        eta = lr if state.step == 0 else state.eta
        new_tensor = (tensor * (1 - self.lambd * eta)).add(grad, alpha=-eta)
        average = new_tensor if state.mu == 1 else state.ax.lerp(new_tensor, state.mu)
        next_eta = lr / (1 + self.lambd * lr * t) ** self.alpha
        return new_tensor, ASGDState(t, next_eta, 1 / max(1, t - self.t0), average)
