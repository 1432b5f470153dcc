"""What does the default engine, which compiles nothing, cost against torch's best?"""

from typing import Any

import torch
from harness import Row
from optim_race import Made, raced
from optim_sets import UserAdamW
from torch import nn

from burnish.optim import SGD, Adagrad, AdamW, Muon

LIMITS = {"tiny": 0.7, "ResNet-50": 1.0, "5,000 of 64x64": 0.45, "GPT-2": 0.8}
SHIPPED: list[tuple[str, Any, Any]] = [
    ("AdamW", AdamW(), torch.optim.AdamW),
    ("SGD", SGD(momentum=0.9), torch.optim.SGD),
    ("Adagrad", Adagrad(), torch.optim.Adagrad),
]


def run() -> list[Row]:
    rows = [
        raced(
            "a user's AdamW / torch foreach",
            name,
            bound(UserAdamW()),
            lambda net: torch.optim.AdamW(net.parameters(), foreach=True),
            threads=threads,
            at_most=limit,
        )
        for threads in (1, 2)
        for name, limit in LIMITS.items()
    ]
    rows += [
        raced(
            f"{name} / torch fused",
            case,
            bound(simple),
            peer_of(peer, {"momentum": 0.9} if name == "SGD" else {}),
            at_most=1.3 if case == "tiny" else 1.05,
        )
        for name, simple, peer in SHIPPED
        for case in ("tiny", "ResNet-50", "5,000 of 64x64")
    ]
    matrices = raced(
        "Muon / torch.optim.Muon",
        "500 of 64x64",
        bound(Muon()),
        lambda net: torch.optim.Muon(net.parameters(), lr=1e-3),
        at_most=0.35,
        shapes=[(64, 64)] * 500,
    )
    return [*rows, matrices]


def bound(simple: Any) -> Made:
    def made(net: nn.Module) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = simple.bind(net, lr=1e-3)
        return optimizer

    return made


def peer_of(peer: Any, options: dict[str, Any]) -> Made:
    def made(net: nn.Module) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = peer(
            net.parameters(), lr=1e-3, fused=True, **options
        )
        return optimizer

    return made
