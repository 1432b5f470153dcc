"""Search over architectures: a blueprint is configured, built, scored, stored.

python architecture_search.py
"""

import itertools

import torch
from sklearn.datasets import load_digits
from torch import nn

import burnish
from burnish.core.blueprint import Blueprint
from burnish.optim import AdamW


class Net(burnish.Module):
    """Nothing in here knows of the search."""

    def __init__(self, width: int = 32, depth: int = 2) -> None:
        super().__init__()
        widths = [64, *[width] * depth]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(n_in, n_out), nn.ReLU())
                for n_in, n_out in itertools.pairwise(widths)
            )
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(x))


def candidates() -> list[Blueprint[Net]]:
    """Return every combination: sizes by argument, layers by pattern."""
    blueprints: list[Blueprint[Net]] = []
    for depth, activation in itertools.product([1, 3], [nn.ReLU, nn.GELU, nn.Tanh]):
        blueprint = Net.blueprint(depth=depth)
        blueprint.configure("blocks.*.1", activation)
        blueprints.append(blueprint)
    return blueprints


def score(blueprint: Blueprint[Net], x: torch.Tensor, y: torch.Tensor) -> float:
    """Train what ``blueprint`` builds, store it, and return its accuracy."""
    torch.manual_seed(0)
    net = blueprint.build()
    optimizer = AdamW().bind(net, lr=1e-2)
    for _ in range(15):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    accuracy = (net(x).argmax(1) == y).float().mean().item()
    net.save_record(f"{accuracy:.4f}.mpk")  # with the blueprint it was built from
    return accuracy


def main() -> Net:
    """Return the best network, reopened from its file alone."""
    pixels, target = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels).float() / 16, torch.tensor(target)
    scores = [score(blueprint, x, y) for blueprint in candidates()]
    best = Net.from_record(f"{max(scores):.4f}.mpk")
    print(f"best of {len(scores)}: {max(scores):.3f}\n{best}")
    return best


if __name__ == "__main__":
    main()
