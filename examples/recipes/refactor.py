"""A class is refactored, and the files of its old version still load.

python refactor.py
"""

import torch
from torch import nn

import burnish
from burnish.config import RenameField
from burnish.core import SplitTensor
from burnish.optim import AdamW


class Attention(burnish.Module, name="recipes/attention"):
    """As it was: one layer for queries, keys and values."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.proj((q @ k.mT).softmax(-1) @ v)


RULES = {
    0: [  # from version 0, that of a class that states none
        SplitTensor("qkv.weight", ["q.weight", "k.weight", "v.weight"]),
        SplitTensor("qkv.bias", ["q.bias", "k.bias", "v.bias"]),
        RenameField("proj", "out"),
    ]
}


def refactored() -> type[burnish.Module]:
    """Return the class as it is now; in your code it takes the old one's place."""

    class New(burnish.Module, name="recipes/attention", version=1, upgrade_rules=RULES):
        def __init__(self, width: int = 8) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
            self.out = nn.Linear(width, width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores = (self.q(x) @ self.k(x).mT).softmax(-1)
            return self.out(scores @ self.v(x))

    return New


def main() -> float:
    """Load what the old class saved; return how far apart both step from there."""
    torch.manual_seed(0)
    old, x = Attention(), torch.randn(4, 5, 8)
    optimizer = AdamW().bind(old, lr=1e-2)
    step(old, optimizer, x)
    old.save_record("attention.mpk")
    optimizer.save_record("optimizer.mpk")

    new = refactored().from_record("attention.mpk")
    new_optimizer = AdamW().bind(new, lr=1e-2)
    print(new_optimizer.load_record("optimizer.mpk"))  # moments are split as well
    step(old, optimizer, x)
    step(new, new_optimizer, x)
    return (old(x) - new(x)).abs().max().item()


def step(module: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor) -> None:
    optimizer.zero_grad()
    module(x).square().mean().backward()
    optimizer.step()


if __name__ == "__main__":
    print(f"both step alike: {main():.1e} apart")
