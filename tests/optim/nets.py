# pyright: reportPrivateUsage=false
# The dispatch keys of a tensor have no public name.
"""Modules, gradients and optimizers that the tests of optim share."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from burnish.optim import (
    AdamW,
    OptimizerAdaptor,
    SimpleOptimizer,
    engine_report,
)
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
        wave = (_small_wave if parameter.numel() < 1000 else _wave)(
            parameter.numel(), 1.7 + i, seed
        )
        grad = wave.reshape(parameter.shape) + 0.1 * parameter.detach()
        parameter.grad = grad.to(parameter)


def _wave(n: int, pace: float, seed: int) -> Tensor:
    return torch.sin(torch.arange(n, dtype=torch.float64) * pace + seed)


_small_wave = lru_cache(maxsize=10_000)(_wave)
"""The same few are asked for in each of thousands of steps."""


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

    return {row.engine for row in engine_report(adaptor)}


def calling(step: Callable[[Tensor, Tensor], Any]) -> SimpleOptimizer[None]:
    """Return an optimizer without state; its class is its own."""

    class Called(SimpleOptimizer[None]):
        def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
            return step(tensor, grad), None

    return Called()


@dataclass(frozen=True, kw_only=True)
class Failing(SimpleOptimizer[None]):
    """Raises for tensors of one size; a norm keeps it from being recorded."""

    size: int

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
        if grad.norm() < 0 or tensor.numel() == self.size:
            raise KeyError("mine")  # the author's line
        return tensor - grad * lr, None


def same(before: list[Tensor], net: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(before, values(net), strict=True))


class Impure(UserAdamW):
    """Breaks its promise in a way that each subclass names."""


X = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))


def backward(module: nn.Module) -> Tensor:
    loss: Tensor = module(X).square().mean()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's backward has no types
    return loss


def adamw(module: nn.Module, **options: Any) -> OptimizerAdaptor:
    return AdamW().bind(module, lr=1e-3, **options)


def bound(simple: Any, **options: Any) -> Any:
    return simple.bind(layers(), **{"lr": 0.1, **options})


def step_by_lists(optimizer: Any) -> None:
    """Let an optimizer that has stepped go on by lists, as accelerators do."""
    from burnish.optim.engines.foreach import Foreach

    # No accelerator is here to choose them.
    for bucket in optimizer._runner.stepper.plans[0].buckets:
        bucket.engine = Foreach()
