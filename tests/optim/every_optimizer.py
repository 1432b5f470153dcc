from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import (
    SGD,
    Adafactor,
    AdamW,
    RMSprop,
    ScheduleFreeAdamW,
    SimpleOptimizer,
)

from .nets import UserAdamW, set_grads

OPTIMIZERS: list[SimpleOptimizer[Any]] = [
    AdamW(),
    AdamW(amsgrad=True),
    SGD(momentum=0.9),
    RMSprop(momentum=0.9),
    ScheduleFreeAdamW(),
    Adafactor(),
    UserAdamW(),
]
"""Those whose states have several fields."""


ENGINES = pytest.mark.parametrize("fused", [None, True, False])


def net(seed: int = 0) -> Any:
    """Return two layers."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6, bias=False), nn.Linear(6, 4, bias=False))


def stepped(simple: SimpleOptimizer[Any], fused: bool | None) -> tuple[Any, Any]:
    """Return a module and its optimizer after two steps, before a third."""
    model = net()
    optimizer = simple.bind(model, lr=0.1, fused=fused)
    for seed in range(2):
        set_grads(model, seed)
        optimizer.step()
    set_grads(model, 2)
    return model, optimizer


def copies(optimizer: Any) -> list[Any]:
    """Return what all states hold, to compare with what they hold later."""
    return [
        value.clone() if isinstance(value, Tensor) else value
        for state in optimizer.state.values()
        for value in state.values()
    ]


def alike(a: list[Any], b: list[Any]) -> bool:
    """Return whether two lists of values are the same to the bit."""
    return len(a) == len(b) and all(
        torch.equal(x, y)
        if isinstance(x, Tensor) and not x.is_meta
        else x is y or x == y
        for x, y in zip(a, b, strict=True)
    )
