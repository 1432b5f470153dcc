"""Does a step for one tensor, compiled, keep up with hand-written kernels?

All per-step checks are on; AdamW is a user's, in natural torch operations.
"""

from typing import Any

import torch
from harness import Row
from lion_pytorch import Lion as PeerLion
from optim_race import Made, raced
from optim_sets import UserAdamW
from torch import nn

from burnish.optim import Lion, RMSprop, SimpleOptimizer

LIMITS = {
    1: {"tiny": 0.6, "ResNet-50": 1.02, "5,000 of 64x64": 0.45, "GPT-2": 1.02},
    2: {"tiny": 0.6, "ResNet-50": 1.0, "5,000 of 64x64": 0.4, "GPT-2": 1.0},
}


def run() -> list[Row]:
    rows = [
        raced(
            "AdamW / torch fused",
            name,
            compiled(UserAdamW()),
            lambda net: torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True),
            threads=threads,
            at_most=limit,
        )
        for threads, limits in LIMITS.items()
        for name, limit in limits.items()
    ]
    for name in ("ResNet-50", "5,000 of 64x64"):
        rows.append(
            raced(
                "RMSprop / torch foreach",
                name,
                compiled(RMSprop()),
                lambda net: torch.optim.RMSprop(net.parameters(), foreach=True),
                at_most=0.35,
            )
        )
        rows.append(
            raced(
                "Lion / lion_pytorch",
                name,
                compiled(Lion()),
                lambda net: PeerLion(net.parameters(), lr=1e-3),
                at_most=0.35,
            )
        )
    return rows


def compiled(simple: SimpleOptimizer[Any]) -> Made:
    def made(net: nn.Module) -> torch.optim.Optimizer:
        return simple.bind(net, lr=1e-3, fused=True)

    return made
