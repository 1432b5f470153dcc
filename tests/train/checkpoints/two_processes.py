"""One of two processes: what is refused in words, and training under DDP.

Called with the rank, where to meet, and a folder. Ends with 0 if all holds.
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from torch import nn

from burnish.optim import SGD, AdamW, ClipGlobalNorm, ClipNorm
from burnish.train import Checkpoints


def refusal(call: Callable[[], Any]) -> str:
    """Return the words with which a call is refused; the empty ones if it is not."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return ""


def sharded_net() -> Any:
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    fully_shard(net)
    net(torch.ones(3, 8)).square().sum().backward()
    return net


def check_refusals(folder: Path) -> None:
    """Each is an error on both processes, so neither waits for the other."""
    net = sharded_net()
    plain = SGD().bind(net, lr=0.1)
    checkpoints = Checkpoints(folder / "sharded")

    assert "sharded over 2 processes" in refusal(lambda: checkpoints.save(1, net=net))
    assert "sharded over 2" in refusal(lambda: checkpoints.save(1, optim=plain))
    assert "same numbers" in refusal(lambda: checkpoints.save(1, rng=True, x=[1]))
    assert "same numbers" in refusal(lambda: checkpoints.restore(rng=True, x=[1]))
    for clip in (ClipNorm(0.1), ClipGlobalNorm(0.1)):
        clipped = SGD().bind(net, lr=0.1, clip=clip)
        assert "clip_grad_norm_" in refusal(clipped.step)
    skipping = SGD().bind(net, lr=0.1, nonfinite="skip")
    assert "one would step and another not" in refusal(skipping.step)
    assert checkpoints.steps == []
    plain.step()


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


def main() -> None:
    """Run all checks as one of two processes."""
    warnings.simplefilter("ignore")
    rank, meeting, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    check_refusals(folder)
    check_training(rank)
    check_resume(rank, folder)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
