"""Modules whose constructors touch their parameters."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Views(nn.Module):
    """A weight whose memory is seen under many names."""

    flat: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(3, 3)
        self.register_buffer("flat", self.l.weight.data.view(-1), persistent=False)
        self.view = self.l.weight.detach()[1:]
        self.views = [self.l.weight.data.t()]
        self.array = self.l.bias.detach().numpy()


def sevens(factory: Callable[[], nn.Module] = Views) -> nn.Module:
    module = factory()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(7.0)
    return module


def seeded(factory: Callable[[], nn.Module]) -> Any:
    torch.manual_seed(4)
    return factory()


def summed(x: Tensor) -> Tensor:
    return x.sum()


def as_double(x: Tensor) -> Tensor:
    return x.to(torch.float64)


with warnings.catch_warnings():
    # Torch says that it is deprecated; modules that use it are still about.
    warnings.filterwarnings("ignore", ".*torch.jit")
    scripted: Callable[[Tensor], Tensor] = torch.jit.script(summed)
    scripted_conversion: Callable[[Tensor], Tensor] = torch.jit.script(as_double)
