"""Trials of a step leave the generators of the run alone."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.optim import (
    SimpleOptimizer,
)
from burnish.records import Record

from ...late_gradients import net


class Drawn(Record):
    scale: Tensor


@dataclass(frozen=True, kw_only=True)
class Drawing(SimpleOptimizer[Drawn]):
    """An optimizer whose states are drawn at first."""

    weight_decay: float = 0.0

    def init(self, tensor: Tensor) -> Drawn:
        return Drawn(torch.rand(tensor.shape) + random.random() + np.random.rand())

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Drawn
    ) -> tuple[Tensor, Drawn]:
        return tensor - (grad + tensor * self.weight_decay) * state.scale * lr, state


def test_only_the_states_that_are_stepped_with_take_draws_of_the_run() -> None:
    def draws() -> tuple[float, ...]:
        return torch.rand(()).item(), random.random(), float(np.random.rand())

    module = net()
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()
    usual = draws()
    torch.set_rng_state(generators[0])
    random.setstate(generators[1])
    np.random.set_state(generators[2])

    adaptor = Drawing().bind(module, lr=0.1)
    adaptor.param_groups[0]["weight_decay"] = 0.5
    adaptor.save_record()

    assert draws() == usual
