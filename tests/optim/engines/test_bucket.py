"""Parameters of one bucket each keep their own count of steps."""

import math

import pytest
import torch
from torch import nn

from burnish.optim import (
    AdamW,
)

from ..nets import (
    Net,
    distance,
)


@pytest.mark.parametrize("fused", [False, None, True])
def test_parameters_without_gradient_stay_and_keep_their_own_count(
    fused: bool | None,
) -> None:
    left, right = Net(large=False), Net(large=False)
    adaptor = AdamW().bind(left, lr=1e-2, fused=fused)
    oracle = torch.optim.AdamW(right.parameters(), lr=1e-2, foreach=False)

    for seed in range(6):
        for net, optimizer in ((left, adaptor), (right, oracle)):
            for parameter in net.parameters():
                parameter.grad = None
            set_some_grads(net, seed)
            optimizer.step()

    assert distance(left, right) <= 2e-6


def set_some_grads(net: nn.Module, seed: int) -> None:
    for i, parameter in enumerate(net.parameters()):
        if (seed + i) % 3:
            parameter.grad = torch.full_like(parameter, math.sin(seed + i))
