"""Is a step of AdamW on FSDP2's parameters as fast as torch's fused one?"""

import time
from typing import Any

import torch
from harness import Row, Samples, by_two_processes, race_of_processes
from torch import nn
from torch.distributed.fsdp import fully_shard

from burnish.optim import AdamW

SIZES = {"200 of 32": (32, 100), "16 of 1024x1024": (1024, 8)}


def run() -> list[Row]:
    samples = by_two_processes(lambda _: measured())
    return [
        Row.timed(
            "step / torch fused, 2 processes",
            f"{case}, 1 thread each",
            Samples(**times["burnish"]),
            Samples(**times["torch"]),
            at_most=1,
        )
        for case, times in samples.items()
    ]


def measured() -> dict[str, Any]:
    """Return the times of one of two processes, while the other does the same."""
    samples: dict[str, Any] = {}
    for case, (width, depth) in SIZES.items():
        runners = {name: stepped(name, width, depth) for name in ("burnish", "torch")}
        samples[case] = race_of_processes(runners, pairs=20, clock=time.thread_time)
    return samples


def stepped(name: str, width: int, depth: int) -> Any:
    """Return a call that steps a sharded module, whose state is there already."""
    layers: Any = nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))
    net = fully_shard(layers)
    optim: Any
    if name == "burnish":
        optim = AdamW().bind(net, lr=1e-3)
    else:
        optim = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    for param in net.parameters():
        param.grad = torch.ones_like(param)
    for _ in range(2):
        optim.step()
    return optim.step
