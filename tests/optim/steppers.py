from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from burnish.optim import (
    SimpleOptimizer,
)
from burnish.records import Record

from .nets import (
    plist,
)


class Pair(Record):
    a: Tensor
    b: Tensor


@dataclass(frozen=True, kw_only=True)
class Stepping(SimpleOptimizer[Pair]):
    """An optimizer whose step is a function of tensor, gradient, and two tensors."""

    fn: Callable[[Any, Any, Any, Any], tuple[Any, Any, Any]]

    def init(self, tensor: Tensor) -> Pair:
        return Pair(torch.zeros_like(tensor), torch.ones_like(tensor))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Pair
    ) -> tuple[Tensor, Pair]:
        tensor, a, b = self.fn(tensor, grad, state.a, state.b)
        return tensor, Pair(a, b)


ELEMENTWISE: dict[str, Callable[[Any, Any, Any, Any], tuple[Any, Any, Any]]] = {
    "gradient becomes state": lambda p, g, a, b: (p - 0.1 * g, g, b),
    "states change places": lambda p, g, a, b: (p - 0.1 * (a + b * g), b, a + g),
    "states only change places": lambda p, g, a, b: (p - 0.1 * g * b, b, a),
    "one result for all": lambda p, g, a, b: (p - g, p - g, p - g),
    "tensor becomes state": lambda p, g, a, b: (p - 0.1 * g, p, b),
    "nothing changes": lambda p, g, a, b: (p, a, b),
    "constants": lambda p, g, a, b: (1 - 0.5 * p, 2 / (b + 1), torch.zeros_like(p)),
    "reversed operators": lambda p, g, a, b: (3 - p, 2 + g, 1.5 * b),
    "where": lambda p, g, a, b: (torch.where(g > 0, p - 0.1, p + 0.1), a, b),
    "where with a tensor": lambda p, g, a, b: (torch.where(g * p >= 0, p, 0.0), a, b),
    "masked": lambda p, g, a, b: (p - g * (g * p > 0).to(p.dtype), a, b),
    "comparisons": lambda p, g, a, b: (p.masked_fill((p > 0) == (g <= 0), 0.5), a, b),
    "clamps": lambda p, g, a, b: (
        p - g.clamp(-0.3, 0.3),
        g.clamp_min(0.1),
        b.clip(max=2),
    ),
    "extremes": lambda p, g, a, b: (
        p - g,
        torch.maximum(a, g),
        torch.minimum(b, g.abs()),
    ),
    "powers": lambda p, g, a, b: (p - g**2 + g**3, (g**2) ** 0.5, b ** (-1)),
    "functions": lambda p, g, a, b: (
        p - torch.tanh(g),
        torch.sigmoid(g) + torch.relu(g),
        torch.exp(-g.abs()).log1p() + torch.rsqrt(b.square() + 1),
    ),
    "lerps": lambda p, g, a, b: (p.lerp(g, 0.9), a.lerp(g, 0.1), torch.lerp(b, g, 0.5)),
    "own tensors in place": lambda p, g, a, b: (
        p.clone().sub_(g),
        (a * 1.0).add_(g),
        b,
    ),
    "a copy changed in place": lambda p, g, a, b: (
        p - g,
        a.clone().mul_(2).add_(g),
        a + 1,
    ),
    "torch functions": lambda p, g, a, b: (
        torch.sub(p, g, alpha=0.1),
        torch.addcmul(a, g, g, value=0.5),
        torch.addcdiv(b, g, g.abs() + 1, value=-0.5),
    ),
    "contracted sums": lambda p, g, a, b: (
        p * 0.9 - (a / (b.abs() + 1)) * 0.1,
        a * 0.9 + g * g * 0.1 + g * 0.2,
        b - (2.0 * g) * g + g / (g.abs() + 2),
    ),
    "an unused result": lambda p, g, a, b: ((p.exp(), p - g)[1], a, b),
    "detached": lambda p, g, a, b: (p.detach() - g.data, a.contiguous(), b),
    "zeros anew": lambda p, g, a, b: (
        p - g,
        torch.full_like(p, 0.25),
        torch.ones_like(g),
    ),
}


REFUSED: dict[str, tuple[Callable[[Any, Any, Any, Any], Any], str]] = {
    "norm": (lambda p, g, a, b: (p - g / (g.norm() + 1), a, b), "norm"),
    "sum": (lambda p, g, a, b: (p - g.sum() * 1e-3, a, b), "sum"),
    "item": (lambda p, g, a, b: (p - g * g.sum().item() * 1e-3, a, b), "sum"),
    "branch on values": (
        lambda p, g, a, b: (p - g if (g * g).mean() > 9 else p, a, b),
        "mean",
    ),
    "noise": (lambda p, g, a, b: (p - g + 0 * torch.randn_like(g), a, b), "randn_like"),
    "another power": (lambda p, g, a, b: (p - g.abs() ** 1.3, a, b), "power"),
    "numpy": (lambda p, g, a, b: (p - torch.from_numpy(g.numpy()), a, b), "numpy"),
    "indexing": (lambda p, g, a, b: (p - g[...], a, b), "indexing"),
    "max of two": (
        lambda p, g, a, b: (p - g * float(max(g.abs().sum(), 1)) * 1e-4, a, b),
        "sum",
    ),
}


def odd_formats() -> Any:
    torch.manual_seed(0)
    conv = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    with_gaps = torch.randn(6, 8)[:, ::2]
    return plist(
        nn.Parameter(conv),
        nn.Parameter(torch.randn(5, 4).t()),
        nn.Parameter(with_gaps),
    )
