"""A module and its optimizer, of which the commands are shown files."""

from typing import Any

import torch
from torch import nn

import burnish
from burnish.optim import AdamW


class Net(burnish.Module):
    def __init__(self, width: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        out: torch.Tensor = self.head(x)
        return out


def stepped_optimizer(net: Net) -> Any:
    """Return an optimizer of ``net`` that has a state of every parameter."""
    optim = AdamW(weight_decay=0.01).bind(net, lr=0.1)
    net(torch.ones(2, net.head.in_features)).sum().backward()
    optim.step()
    return optim
