"""What one of two processes checks: training under DDP, and a run that goes on."""

from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from torch import nn

from burnish.optim import AdamW, ClipGlobalNorm
from burnish.train import Checkpoints


def check_training(rank: int) -> None:
    """DDP trains with an adaptor as with the optimizer of torch."""
    nets: list[Any] = []
    for ours in (True, False):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
        model = nn.parallel.DistributedDataParallel(net)
        optim: Any = (
            AdamW().bind(model, lr=0.01)
            if ours
            else torch.optim.AdamW(model.parameters(), lr=0.01)
        )
        train(model, optim, rank, range(5))
        nets.append(net)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
        other = a.detach().clone()
        dist.broadcast(other, 0)
        assert torch.equal(other, a)


def check_resume(rank: int, folder: Path) -> None:
    """A run under DDP that is resumed goes on to the bits of the uninterrupted one."""
    checkpoints = Checkpoints(folder / "ddp")
    whole, optim = ddp(AdamW(), rank, range(2))
    checkpoints.save(2, net=whole, optim=optim)
    train(whole, optim, rank, range(2, 5))
    again, resumed = ddp(AdamW(), rank, range(0))

    assert checkpoints.restore(net=again, optim=resumed) == 2
    train(again, resumed, rank, range(2, 5))

    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def ddp(simple: Any, rank: int, steps: range) -> tuple[Any, Any]:
    """Return a net under DDP and its optimizer after some steps."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    model = nn.parallel.DistributedDataParallel(net)
    optim = simple.bind(model, lr=0.01, clip=ClipGlobalNorm(1.0))
    train(model, optim, rank, steps)
    return model, optim


def train(model: Any, optim: Any, rank: int, steps: range) -> None:
    """Take steps on data that differs between the processes."""
    for step in steps:
        x = torch.sin(torch.arange(24.0).reshape(4, 6) * (rank + 1) + step)
        optim.zero_grad()
        model(x).square().mean().backward()
        optim.step()
