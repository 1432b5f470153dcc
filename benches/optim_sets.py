"""Sets of parameters that optimizers are timed on, and AdamW as a user writes it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from burnish.optim import SimpleOptimizer
from burnish.records import Record


def tiny() -> list[tuple[int, ...]]:
    return [shape for _ in range(5) for shape in ((64, 64), (64,))]


def many() -> list[tuple[int, ...]]:
    return [(64, 64)] * 5000


def resnet50() -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = [(64, 3, 7, 7), (64,), (64,)]
    wide = 64
    for width, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for i in range(count):
            convs = [
                (width, wide, 1, 1),
                (width, width, 3, 3),
                (4 * width, width, 1, 1),
            ]
            for conv in [*convs, *([(4 * width, wide, 1, 1)] if i == 0 else [])]:
                shapes += [conv, (conv[0],), (conv[0],)]
            wide = 4 * width
    return [*shapes, (1000, 2048), (1000,)]


def gpt2() -> list[tuple[int, ...]]:
    d = 768
    layer = [(d,), (d,), (d, 3 * d), (3 * d,), (d, d), (d,), (d,), (d,)]
    layer += [(d, 4 * d), (4 * d,), (4 * d, d), (d,)]
    return [(50257, d), (1024, d), *layer * 12, (d,), (d,)]


SETS: dict[str, Callable[[], list[tuple[int, ...]]]] = {
    "tiny": tiny,
    "ResNet-50": resnet50,
    "5,000 of 64x64": many,
    "GPT-2": gpt2,
}


class Parameters(nn.Module):
    """Parameters of given shapes, with gradients."""

    def __init__(self, shapes: list[tuple[int, ...]]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for i, shape in enumerate(shapes):
            values = torch.empty(shape).normal_(0, 0.02, generator=generator)
            parameter = nn.Parameter(values)
            parameter.grad = torch.empty(shape).normal_(0, 0.02, generator=generator)
            self.register_parameter(f"p{i}", parameter)


class Moments(Record):
    t: int
    m: Tensor
    v: Tensor


@dataclass(frozen=True, kw_only=True)
class UserAdamW(SimpleOptimizer[Moments]):
    """AdamW in natural torch operations, each with a new tensor."""

    b1: float = 0.9
    b2: float = 0.999

    def init(self, tensor: Tensor) -> Moments:
        return Moments(0, torch.zeros_like(tensor), torch.zeros_like(tensor))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Moments
    ) -> tuple[Tensor, Moments]:
        t = state.t + 1
        m = state.m * self.b1 + grad * (1 - self.b1)
        v = state.v * self.b2 + grad * grad * (1 - self.b2)
        root = v.sqrt() / math.sqrt(1 - self.b2**t) + 1e-8
        size = lr / (1 - self.b1**t)
        return tensor * (1 - lr * 0.01) - (m / root) * size, Moments(t, m, v)


def repeated(step: Callable[[], object], times: int) -> Callable[[], None]:
    """Return a runner of several steps; one tiny step is too short for a clock."""

    def run() -> None:
        for _ in range(times):
            step()

    return run
