"""What do master weights and stochastic rounding cost beside a float32 step?

All are compiled; the peer is the same optimizer over float32 parameters.
"""

from functools import partial
from typing import Any

import torch
from harness import Row
from optim_race import raced
from torch import nn

from burnish.optim import AdamW, OptimizerAdaptor, engine_report

WIDE = torch.float32
WAYS: dict[str, dict[str, Any]] = {
    "master weights": {"master_dtype": WIDE},
    "stochastic, state in float32": {"rounding": "stochastic", "state_dtype": WIDE},
    "stochastic, all in bfloat16": {"rounding": "stochastic"},
}


def run() -> list[Row]:
    return [
        raced(f"{way} / float32", name, partial(half, way), full, at_most=1.5)
        for name in ("tiny", "ResNet-50", "5,000 of 64x64", "GPT-2")
        for way in WAYS
    ]


def half(way: str, net: nn.Module) -> OptimizerAdaptor:
    """Return an optimizer of bfloat16 weights, and of their gradients."""
    net.to(torch.bfloat16)
    optimizer = AdamW().bind(net, lr=1e-3, fused=True, **WAYS[way])
    if {row.engine for row in engine_report(optimizer)} != {"compiled"}:
        raise RuntimeError(f"the step is not compiled: {engine_report(optimizer)}")
    return optimizer


def full(net: nn.Module) -> OptimizerAdaptor:
    """Return an optimizer of float32 weights."""
    return AdamW().bind(net, lr=1e-3, fused=True)
