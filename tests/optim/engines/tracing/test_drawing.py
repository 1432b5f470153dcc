"""Steps that draw random numbers draw as often as they are written."""

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from burnish.optim import (
    SimpleOptimizer,
)
from burnish.records import Record

from ...late_gradients import net, steps
from ...nets import UserAdamW, engine_names, equal


class Noisy(SimpleOptimizer[None]):
    """Draws a number for each parameter, which a recording would draw once."""

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
        noise = float(torch.rand((), device="cpu"))
        return tensor - grad * (lr * noise), None


class Noise(SimpleOptimizer[None]):
    """Draws numbers for every element."""

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
        return tensor - torch.rand_like(grad) * lr, None


@pytest.mark.parametrize("simple", [Noisy(), Noise()])
@pytest.mark.parametrize("fused", [None, True, False])
def test_a_step_that_draws_draws_as_often_as_it_is_written(
    simple: SimpleOptimizer[None], fused: bool | None
) -> None:
    left, right = net(), net()
    torch.manual_seed(3)
    steps(left, simple.bind(left, lr=0.1, fused=fused), lambda s, i: 1.0, 1, 2)
    drawn = torch.rand(1)

    torch.manual_seed(3)
    for number in (1, 2):
        for i, p in enumerate(right):
            generator = torch.Generator().manual_seed(100 * number + i)
            grad = torch.randn(p.shape, generator=generator)
            p.data.copy_(simple.step(0.1, p.detach(), grad, None)[0])

    assert equal(left, right)
    assert torch.equal(drawn, torch.rand(1))


class Count(Record):
    t: int


def noise_of(t: int) -> float:
    return float(torch.rand(())) if t > 2 else 1.0


gauss = random.gauss


@dataclass(frozen=True, kw_only=True)
class NoisyLater(SimpleOptimizer[Count]):
    """Draws from the third step on, in one of many ways."""

    how: str

    def init(self, tensor: Tensor) -> Count:
        return Count(0)

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Count) -> Any:
        t, size = state.t + 1, 1.0
        if self.how == "function":
            size = noise_of(t)
        elif self.how == "method":
            size = self.drawn(t)
        elif self.how == "global" and t > 2:
            size = gauss(0.0, 1.0)
        elif self.how == "norm":
            size = float(grad.norm()) * self.drawn(t)
        return tensor - grad * (lr * size), Count(t)

    def drawn(self, t: int) -> float:
        return float(np.random.rand()) + random.random() if t > 2 else 1.0


@pytest.mark.parametrize("how", ["function", "method", "global", "norm"])
@pytest.mark.parametrize("fused", [None, True])
def test_a_step_that_draws_later_than_its_first_trial_draws_as_it_is_written(
    how: str, fused: bool | None
) -> None:
    results = []
    for choice in (fused, False):
        module = net()
        torch.manual_seed(3)
        random.seed(3)
        np.random.seed(3)
        steps(
            module,
            NoisyLater(how=how).bind(module, lr=0.1, fused=choice),
            lambda s, i: 1.0,
            *range(1, 6),
        )
        results.append((module, torch.rand(1), random.random(), np.random.rand()))

    assert equal(results[0][0], results[1][0])
    assert results[0][1:] == results[1][1:]


def test_code_that_names_no_generator_is_recorded_as_ever() -> None:
    module = net()
    adaptor = UserAdamW().bind(module, lr=0.1)

    assert engine_names(adaptor) == {"blocks"}
