"""Schedule-free AdamW (Defazio et al., 2024, "The Road Less Scheduled")."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..records.record import Record
from .checks import check_betas, check_range
from .simple import SimpleOptimizer


class ScheduleFreeState(Record):
    """The base sequence, squared gradients, and the weight of the average so far."""

    step: int
    z: Tensor
    exp_avg_sq: Tensor
    weight_sum: float
    lr_max: float


@dataclass(frozen=True, kw_only=True)
class ScheduleFreeAdamW(SimpleOptimizer[ScheduleFreeState]):
    """AdamW with an average of the weights in place of a schedule.

    The parameters are where gradients are computed; ``optim.eval()`` sets them to the
    average, ``optim.train()`` sets them back.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    """Weight of the average where gradients are computed, in (0, 1); squares' decay."""
    eps: float = 1e-8
    """Added to the denominator, at least 0."""
    weight_decay: float = 0.0
    """Decay at the point where the gradient is computed, at least 0."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly."""
    r: float = 0.0
    """Exponent of the step in the weight of the average."""
    weight_lr_power: float = 2.0
    """Exponent of the greatest learning rate so far in that weight."""

    def __post_init__(self) -> None:
        check_betas(self.betas)
        if self.betas[0] == 0.0:
            raise ValueError("betas[0] must be greater than 0, got 0.0")
        for name in ("eps", "weight_decay", "warmup_steps"):
            check_range(name, getattr(self, name), 0.0)

    def init(self, tensor: Tensor) -> ScheduleFreeState:
        """Return the state before the first step."""
        return ScheduleFreeState(0, tensor, torch.zeros_like(tensor), 0.0, -1.0)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: ScheduleFreeState
    ) -> tuple[Tensor, ScheduleFreeState]:
        """Return the new tensor and state."""
        b1, b2 = self.betas
        t = state.step + 1
        lr = lr * t / self.warmup_steps if t <= self.warmup_steps else lr
        lr_max = max(lr, state.lr_max)
        weight = t**self.r * lr_max**self.weight_lr_power
        weight_sum = state.weight_sum + weight
        share = weight / weight_sum if weight_sum else 0.0
        square = (state.exp_avg_sq * b2).addcmul(grad, grad, value=1 - b2)
        direction = grad / ((square / (1 - b2**t)).sqrt() + self.eps)
        if self.weight_decay != 0.0:
            direction = direction.add(tensor, alpha=self.weight_decay)
        weights = tensor.lerp(state.z, share)
        weights = weights.add(direction, alpha=lr * (b1 * (1 - share) - 1))
        z = state.z.sub(direction, alpha=lr)
        return weights, ScheduleFreeState(t, z, square, weight_sum, lr_max)

    def to_eval(self, tensor: Tensor, state: ScheduleFreeState) -> Tensor:
        """Return the average."""
        return tensor.lerp(state.z, 1 - 1 / self.betas[0])

    def to_train(self, tensor: Tensor, state: ScheduleFreeState) -> Tensor:
        """Return the point at which gradients are computed."""
        return tensor.lerp(state.z, 1 - self.betas[0])
