"""Records within a state come back as what they are."""

from typing import Any

import torch
from torch import Tensor

import burnish
from burnish.optim import (
    SimpleOptimizer,
)

from ..nets import (
    drive,
    engine_names,
    equal,
    layers,
)


class Inner(burnish.Record):
    sum: Tensor
    count: int


class Nested(burnish.Record):
    inner: Inner
    all: list[Inner]


class Nesting(SimpleOptimizer[Nested]):
    """Keeps records within its state."""

    def init(self, tensor: Tensor) -> Nested:
        return Nested(Inner(torch.zeros_like(tensor), 0), [])

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Nested) -> Any:
        inner = Inner(state.inner.sum + grad, state.inner.count + 1)
        older = state.all[0].sum if state.all else grad
        new = tensor - (inner.sum + older) * (lr / inner.count)
        return new, Nested(inner, [Inner(state.inner.sum, 0)])


def test_records_within_a_state_come_back_as_what_they_are() -> None:
    left, right = layers(), layers()
    first = Nesting().bind(left, lr=0.1)
    drive(first, left, 1, 2)
    again = Nesting().bind(right, lr=0.1)
    right.load_state_dict(left.state_dict())

    again.load_record(first.save_record())
    drive(first, left, 3, 4)
    drive(again, right, 3, 4)

    assert engine_names(again) == {"loop"}
    assert equal(left, right)
