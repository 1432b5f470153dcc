"""Modules, gradients and optimizers that the tests of optim share."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from burnish.optim import SimpleOptimizer
from burnish.records import Record


class Net(nn.Module):
    """Parameters of every awkward kind: scalar, empty, small, large, 4-D."""

    def __init__(
        self, dtype: torch.dtype = torch.float32, *, large: bool = True
    ) -> None:
        super().__init__()
        self.a: Any
        self.b: Any
        self.large: Any
        generator = torch.Generator().manual_seed(0)
        shapes = {"a": (17, 3), "b": (5,), "scalar": (), "conv": (4, 3, 3, 2)}
        shapes |= {"empty": (0, 4), "tail": (7, 1)}
        if large:
            shapes["large"] = (301, 230)
        for name, shape in shapes.items():
            values = torch.randn(shape, generator=generator, dtype=torch.float64)
            setattr(self, name, nn.Parameter(values.to(dtype)))


def layers(dtype: torch.dtype = torch.float32) -> Any:
    """Return a small network that can be trained."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 4)).to(dtype)


def tree(**children: nn.Module) -> Any:
    """Return a module of named children."""
    return nn.ModuleDict(children)


def plist(*tensors: Tensor) -> Any:
    """Return a module of numbered parameters."""
    return nn.ParameterList(tensors)


def set_grads(module: nn.Module, seed: int) -> None:
    """Give every parameter the gradient that belongs to ``seed``."""
    for i, parameter in enumerate(module.parameters()):
        wave = torch.arange(parameter.numel(), dtype=torch.float64) * (1.7 + i) + seed
        grad = torch.sin(wave).reshape(parameter.shape)
        parameter.grad = (grad + 0.1 * parameter.detach()).to(parameter)


def drive(optimizer: torch.optim.Optimizer, module: nn.Module, *seeds: int) -> None:
    """Step once for each seed."""
    for seed in seeds:
        set_grads(module, seed)
        optimizer.step()


def distance(a: nn.Module, b: nn.Module) -> float:
    """Return the greatest difference between parameters of the same place."""
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return max(
        (x.detach().double() - y.detach().double()).abs().max().item()
        for x, y in pairs
        if x.numel()
    )


def equal(a: nn.Module, b: nn.Module) -> bool:
    """Return whether all parameters are the same to the bit."""
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def values(module: nn.Module) -> list[Tensor]:
    """Return copies of the parameters."""
    return [parameter.detach().clone() for parameter in module.parameters()]


class Moments(Record):
    t: int
    m: Tensor
    v: Tensor


@dataclass(frozen=True, kw_only=True)
class UserAdamW(SimpleOptimizer[Moments]):
    """AdamW as a user writes it."""

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01

    def init(self, tensor: Tensor) -> Moments:
        return Moments(0, torch.zeros_like(tensor), torch.zeros_like(tensor))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Moments
    ) -> tuple[Tensor, Moments]:
        t = state.t + 1
        m = state.m * self.b1 + grad * (1 - self.b1)
        v = state.v * self.b2 + grad * grad * (1 - self.b2)
        root = v.sqrt() / math.sqrt(1 - self.b2**t) + self.eps
        size = lr / (1 - self.b1**t)
        moved = tensor * (1 - lr * self.weight_decay) - (m / root) * size
        return moved, Moments(t, m, v)


def engine_names(adaptor: Any) -> set[str]:
    """Return the engines that the adaptor uses."""
    from burnish.optim import engine_report

    return {row.engine for row in engine_report(adaptor)}
