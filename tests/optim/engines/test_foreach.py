"""Recorded steps, replayed over all tensors, give the loop's numbers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ..nets import (
    Net,
    UserAdamW,
    distance,
    drive,
    engine_names,
)
from ..steppers import ELEMENTWISE, Stepping


def both(
    step: Callable[[Any, Any, Any, Any], Any], fused: bool | None, dtype: torch.dtype
) -> tuple[Net, Net, set[str]]:
    """Step two modules, one on the engine and one in the loop."""
    left, right = Net(dtype), Net(dtype)
    engine = Stepping(fn=step).bind(left, lr=0.1, fused=fused)
    loop = Stepping(fn=step).bind(right, lr=0.1, fused=False)
    for seed in range(3):
        drive(engine, left, seed)
        drive(loop, right, seed)
        for a, b in zip(left.parameters(), right.parameters(), strict=True):
            for name in ("a", "b"):
                difference = engine.state[a][name] - loop.state[b][name]
                assert difference.abs().max().item() < 1e-5 if a.numel() else True
    return left, right, engine_names(engine)


@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_steps_are_replayed_with_the_loops_numbers(
    name: str, fused: bool | None
) -> None:
    left, right, engines = both(ELEMENTWISE[name], fused, torch.float32)

    assert engines == {"compiled" if fused else "blocks"}
    assert distance(left, right) <= 2e-5


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("fused", [None, True])
def test_every_floating_dtype_rounds_as_the_loop_does(
    dtype: torch.dtype, fused: bool | None
) -> None:
    left, right = Net(dtype), Net(dtype)
    engine = UserAdamW().bind(left, lr=1e-2, fused=fused)
    loop = UserAdamW().bind(right, lr=1e-2, fused=False)

    drive(engine, left, *range(4))
    drive(loop, right, *range(4))

    # Half precisions round after every operation, on every engine.
    tolerance = {torch.float64: 1e-14, torch.bfloat16: 1e-2, torch.float16: 1e-3}
    assert distance(left, right) <= tolerance[dtype]
    assert engine_names(engine) == {"compiled" if fused else "blocks"}
