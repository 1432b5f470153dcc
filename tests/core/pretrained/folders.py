"""Modules that are saved as folders."""

from pathlib import Path

import torch
from torch import Tensor, nn

from burnish.core import (
    Module,
)

from ... import fresh_processes


class Net(Module):
    """With tied weights, a persistent buffer and one that is not stored."""

    def __init__(self, width: int = 8, depth: int = 3) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, 10, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scale", torch.full((1,), 0.5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x).tanh() * self.scale
        y: Tensor = self.head(self.norm(x))
        return y


X = torch.arange(10)


def trained() -> Net:
    net = Net(depth=4)
    net(X)  # moves the running statistics
    return net.eval()


def output(net: nn.Module) -> Tensor:
    with torch.no_grad():
        y: Tensor = net.eval()(X)
    return y


def run(folder: Path, args: list[str], expected: int = 0) -> str:
    done = fresh_processes.run(*args, cwd=folder)
    assert done.returncode == expected, done.stderr
    return done.stdout if expected == 0 else done.stderr
