from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from burnish.optim import (
    OptimizerAdaptor,
)

from .nets import engine_names, plist

SIZES = [(5,), (300,), (17, 3), (), (129,), (64, 64)]


Bind = Callable[[nn.Module], OptimizerAdaptor]


Gradients = Callable[[int, int], float | None]
"""The size of the gradient of a step and a parameter; None for no gradient."""


def net(dtype: torch.dtype = torch.float32, sizes: Any = SIZES) -> Any:
    generator = torch.Generator().manual_seed(0)
    return plist(*[torch.randn(s, generator=generator).to(dtype) for s in sizes])


def steps(
    module: Any, adaptor: OptimizerAdaptor, gradients: Gradients, *numbers: int
) -> None:
    for step in numbers:
        for i, p in enumerate(module):
            scale = gradients(step, i)
            generator = torch.Generator().manual_seed(100 * step + i)
            grad = torch.randn(p.shape, generator=generator)
            p.grad = None if scale is None else (grad * scale).to(p.dtype)
        adaptor.step()


def resumed(
    bind: Bind,
    gradients: Gradients,
    dtype: torch.dtype,
    at: int,
    end: int,
    sizes: Any = SIZES,
) -> tuple[Any, Any, list[set[str]]]:
    """Return an uninterrupted module and a resumed one, and their last engines."""
    whole = net(dtype, sizes)
    first = bind(whole)
    steps(whole, first, gradients, *range(at))
    again = net(dtype, sizes)
    again.load_state_dict(whole.state_dict())
    second = bind(again)
    second.load_record(first.save_record(), hyperparameters="restore")
    steps(whole, first, gradients, *range(at, end))
    steps(again, second, gradients, *range(at, end))
    return whole, again, [engine_names(first), engine_names(second)]
