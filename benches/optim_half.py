"""What do master weights and stochastic rounding cost beside a float32 step?

All are compiled; the peer is the same optimizer over float32 parameters.
"""

from typing import Any

import torch
from harness import Row, race
from optim_sets import SETS, Parameters, repeated

from burnish.optim import AdamW, engine_report

WIDE = torch.float32
WAYS: dict[str, dict[str, Any]] = {
    "master weights": {"master_dtype": WIDE},
    "stochastic, state in float32": {"rounding": "stochastic", "state_dtype": WIDE},
    "stochastic, all in bfloat16": {"rounding": "stochastic"},
}
TIMES = {"tiny": 300, "ResNet-50": 3, "5,000 of 64x64": 3, "GPT-2": 1}


def run() -> list[Row]:
    torch.set_num_threads(1)
    return [row(way, name, times) for name, times in TIMES.items() for way in WAYS]


def row(way: str, name: str, times: int) -> Row:
    """Return how a bfloat16 step compares with one of float32."""
    full, half = Parameters(SETS[name]()), Parameters(SETS[name]()).to(torch.bfloat16)
    for param in half.parameters():
        param.grad = torch.full_like(param, 0.02)
    peer = AdamW().bind(full, lr=1e-3, fused=True)
    ours = AdamW().bind(half, lr=1e-3, fused=True, **WAYS[way])
    runners = {"ours": repeated(ours.step, times), "peer": repeated(peer.step, times)}
    samples = race(runners)
    engines = {report.engine for report in engine_report(ours)}
    if engines != {"compiled"}:
        raise RuntimeError(f"the step ran on {engines}, and not compiled")
    case = f"AdamW, {name}, bfloat16"
    return Row.timed(
        f"{way} / float32", case, samples["ours"], samples["peer"], at_most=1.5
    )
