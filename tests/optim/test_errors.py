"""Errors of a step come before anything changes, and pickle."""

import pickle
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

import burnish.optim as optim
from burnish.optim import (
    ImpureStepError,
)

from .nets import (
    Moments,
    UserAdamW,
    layers,
    same,
    set_grads,
    values,
)


@dataclass(frozen=True, kw_only=True)
class Misbehaving(UserAdamW):
    how: str = ""

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Moments) -> Any:
        if self.how.endswith("after reading"):
            grad = grad + 0 * grad.sum()
        how = self.how.split(",")[0]
        if how == "tensor in place":
            return tensor.sub_(grad), state
        if how == "grad in place":
            grad_ = grad if not self.how.endswith("after reading") else tensor
            return tensor - grad_.mul_(2), state
        if how == "state in place":
            return tensor - state.m.add_(grad), state
        if how == "another dtype":
            return tensor.double() - grad, state
        if how == "another shape":
            return (tensor - grad).sum(), state
        if how == "another dtype of state":
            return tensor - grad, replace(state, m=state.m.double())  # type: ignore[type-var]  # a record is a dataclass
        if how == "no tensor":
            return 1.0, state
        if how == "no record":
            return tensor - grad, {"m": state.m}
        return tensor - grad, None


WAYS = [
    "tensor in place",
    "grad in place",
    "state in place",
    "another dtype",
    "another shape",
    "another dtype of state",
    "no tensor",
    "no record",
    "no state",
]


@pytest.mark.parametrize("fused", [False, None, True])
@pytest.mark.parametrize("reading", ["", ",after reading"])
@pytest.mark.parametrize("how", WAYS)
def test_a_step_that_breaks_its_contract_is_told_so_before_anything_changes(
    how: str, reading: str, fused: bool | None
) -> None:
    net = layers()
    adaptor = Misbehaving(how=how + reading).bind(net, lr=1e-2, fused=fused)
    set_grads(net, 1)
    before = values(net)
    grads = [p.grad.clone() for p in net.parameters() if p.grad is not None]

    with pytest.raises(ImpureStepError, match=r"step\(\)"):
        adaptor.step()

    assert same(before, net)
    given = zip(grads, net.parameters(), strict=True)
    assert all(torch.equal(a, p.grad) for a, p in given if p.grad is not None)


CONVERSIONS: list[dict[str, Any]] = [
    {"maximize": True},
    {"clip": optim.ClipValue(0.5)},
    {"clip": optim.ClipNorm(0.5)},
    {"state_dtype": torch.float64},
]


@pytest.mark.parametrize("options", CONVERSIONS, ids=str)
@pytest.mark.parametrize("fused", [False, None, True])
@pytest.mark.parametrize("how", ["tensor", "grad", "state"])
def test_a_step_must_not_change_what_was_converted_for_it_either(
    how: str, fused: bool | None, options: dict[str, Any]
) -> None:
    net = layers()
    adaptor = Misbehaving(how=f"{how} in place").bind(
        net, lr=1e-2, fused=fused, **options
    )
    set_grads(net, 1)
    before = values(net)

    with pytest.raises(ImpureStepError, match="in place"):
        adaptor.step()

    assert same(before, net)


def test_impure_errors_of_the_step_pickle() -> None:
    error = ImpureStepError("changed")

    assert str(pickle.loads(pickle.dumps(error))) == "changed"
