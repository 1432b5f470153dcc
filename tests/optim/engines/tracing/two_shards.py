"""What one of two processes checks: shares are rounded as whole parameters are."""

from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from burnish.optim import SGD

SHAPES = [(7, 5), (6, 3, 2), (9,), (4, 4)]
PLACEMENTS: list[Any] = [Shard(0), Shard(1), Shard(0), Replicate()]
OPTIONS: list[dict[str, Any]] = [
    {"rounding": "stochastic"},
    {"master_dtype": torch.float32},
]


def values(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(shape, generator=generator) for shape in SHAPES]
    return [tensor.bfloat16() for tensor in drawn]


def check(options: dict[str, Any]) -> None:
    """Step shares and whole parameters, and compare them to the bit."""
    mesh = init_device_mesh("cpu", (2,))
    spread = [
        distribute_tensor(tensor, mesh, [placement])
        for tensor, placement in zip(values(0), PLACEMENTS, strict=True)
    ]
    net = nn.ParameterList(spread)
    whole = nn.ParameterList(values(0))
    ours = SGD(momentum=0.9).bind(net, lr=1e-2, **options)
    plain = SGD(momentum=0.9).bind(whole, lr=1e-2, fused=False, **options)

    for seed in range(1, 6):
        for share, param, grad in zip(net, whole, values(seed), strict=True):
            share.grad = distribute_tensor(grad, mesh, share.placements)
            param.grad = grad
        ours.step()
        plain.step()

    for share, param in zip(net, whole, strict=True):
        tensor: Any = share
        assert torch.equal(tensor.full_tensor(), param), options
