"""What is kept for a weight stands beside an author's state, and never in its sight."""

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from burnish.optim import AdamW, ImpureStepError, SimpleOptimizer
from burnish.optim.engines.tracing.extended_state import (
    author_type,
    closed,
    extended,
    is_extended,
    n_renewed,
    opened,
)
from burnish.optim.engines.tracing.state_fields import field_names
from burnish.records import Record

from ...every_optimizer import ENGINES
from ...nets import drive, layers


class Mean(Record):
    mean: Tensor
    count: int = 0


def test_a_state_without_fields_has_the_master_alone() -> None:
    state = extended(None, master=torch.zeros(2))

    assert field_names(type(state)) == ("master",)
    assert author_type(type(state)) is None
    assert is_extended(type(state))
    assert not is_extended(Mean)
    assert author_type(Mean) is Mean


def test_a_step_moves_the_master_and_sees_its_authors_state() -> None:
    master = torch.tensor([1.0, 1.001, 1.0, 1.0])
    weight = master.bfloat16()
    weight[3] = 2.0
    stored = extended(Mean(torch.ones(4), 3), master=master)

    tensor, state = opened(weight, stored)
    moved, kept = closed(tensor - 1e-4, Mean(state.mean, 4), weight, stored)

    assert type(state) is Mean
    assert not hasattr(state, "master")
    assert torch.equal(tensor, torch.tensor([1.0, 1.001, 1.0, 2.0]))
    assert torch.equal(kept.master, tensor - 1e-4)
    assert torch.equal(moved, kept.master.bfloat16())
    assert (type(kept), kept.count) == (type(stored), 4)


def test_elements_that_are_no_rounding_are_counted() -> None:
    master = torch.tensor([1.001, 2.0, float("nan"), 3.0])
    weight = master.bfloat16()
    assert n_renewed(weight, master) == 0

    weight[3] = float("nan")
    weight[0] = 0.0

    assert n_renewed(weight, master) == 2


class Wrong(SimpleOptimizer[Mean]):
    def init(self, tensor: Tensor) -> Mean:
        return Mean(torch.zeros_like(tensor))

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Mean) -> Any:
        return tensor - lr * grad, AdamW().init(tensor)


@ENGINES
def test_a_state_of_another_type_is_refused_by_the_names_an_author_knows(
    fused: bool | None,
) -> None:
    net = layers(torch.bfloat16)
    optimizer = Wrong().bind(net, lr=0.1, master_dtype=torch.float32, fused=fused)

    with pytest.raises(ImpureStepError, match=r"AdamState as state.* with a Mean"):
        drive(optimizer, net, 1)


def again() -> Any:
    """Return the class of the state as a cell that runs again defines it."""

    class Mean(Record):
        mean: Tensor

    return Mean


class OfACell(SimpleOptimizer[Any]):
    state_class: ClassVar[Any] = None

    def init(self, tensor: Tensor) -> Any:
        return self.state_class(torch.zeros_like(tensor))

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Any) -> Any:
        return tensor - lr * grad, self.state_class(state.mean)


@ENGINES
@pytest.mark.parametrize("master_dtype", [None, torch.float32])
def test_a_state_whose_class_was_defined_anew_is_told_as_that(
    master_dtype: torch.dtype | None, fused: bool | None
) -> None:
    net = layers(torch.bfloat16)
    OfACell.state_class = again()
    optimizer = OfACell().bind(net, lr=0.1, master_dtype=master_dtype, fused=fused)
    drive(optimizer, net, 1)
    OfACell.state_class = again()

    with pytest.raises(
        ImpureStepError, match=r"defined again .* Bind the optimizer again"
    ):
        drive(optimizer, net, 1)
