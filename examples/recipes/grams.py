"""Grams (Cao et al., 2024, arXiv:2412.17107), an optimizer of your own.

    optimizer = Grams().bind(net, lr=1e-3)

Adam says how far each weight goes, and the sign of this step's gradient which way.
The tests compare it with a reference, step by step.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from burnish.optim import SimpleOptimizer, engine_report
from burnish.records import Record


class GramsState(Record):
    """The running means of Adam."""

    step: int
    exp_avg: Tensor
    exp_avg_sq: Tensor


@dataclass(frozen=True, kw_only=True)
class Grams(SimpleOptimizer[GramsState]):
    """Step by Adam's magnitude along the sign of the gradient."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Shares of both means that are kept in a step; each in [0, 1)."""
    eps: float = 1e-6
    """Added to the root of the second mean."""
    weight_decay: float = 0.0
    """Weights shrink by this times the learning rate."""

    def init(self, tensor: Tensor) -> GramsState:
        """Return the state before the first step."""
        return GramsState(0, torch.zeros_like(tensor), torch.zeros_like(tensor))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: GramsState
    ) -> tuple[Tensor, GramsState]:
        """Return the new tensor and state (Algorithm 1)."""
        b1, b2 = self.betas
        step = state.step + 1
        mean = state.exp_avg * b1 + grad * (1 - b1)
        square = state.exp_avg_sq * b2 + grad * grad * (1 - b2)
        root = (square / (1 - b2**step)).sqrt() + self.eps
        distance = (mean / (1 - b1**step) / root).abs()
        tensor = tensor * (1 - lr * self.weight_decay)
        return tensor - lr * distance * grad.sign(), GramsState(step, mean, square)


def main() -> float:
    """Fit a line, and say how the steps were run; return the last loss."""
    torch.manual_seed(0)
    x = torch.randn(64, 3)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]])
    net = nn.Linear(3, 1)
    optimizer = Grams().bind(net, lr=0.05)
    loss = torch.tensor(torch.inf)
    for _ in range(150):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
    optimizer.save_record("grams.mpk")  # by parameter, typed: GramsState
    print(engine_report(optimizer))
    return loss.item()


if __name__ == "__main__":
    print(f"loss {main():.2g}")
