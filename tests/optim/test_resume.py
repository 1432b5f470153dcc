"""Late gradients and copies leave no trace in the numbers of a run."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import burnish.optim.bound.initial_states
from burnish.optim import (
    SGD,
    AdamW,
    Lion,
    SimpleOptimizer,
)
from burnish.optim.schedulers import Constant
from burnish.records import Record

from .late_gradients import net, resumed, steps
from .nets import UserAdamW, equal


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("fused", [None, True, False])
def test_gradients_that_come_late_leave_no_trace(
    dtype: torch.dtype, fused: bool | None
) -> None:
    class Roots(SimpleOptimizer[Any]):
        """Uses what torch rounds otherwise at the end of a vector."""

        def init(self, tensor: Tensor) -> Any:
            return Sum(torch.ones_like(tensor))

        def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Any) -> Any:
            total = state.sum.add(grad.abs(), alpha=0.1)
            return tensor.add(grad * total.rsqrt(), alpha=-lr), Sum(total)

    whole, again, engines = resumed(
        lambda module: Roots().bind(module, lr=0.01, fused=fused),
        lambda step, i: 1.0 if (i - step) % 5 < 3 else None,
        dtype,
        4,
        12,
        range(1, 60),
    )

    assert equal(whole, again)
    assert engines[0] == engines[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("nesterov", [True, False])
def test_a_late_first_step_leaves_no_trace_in_what_is_stepped_together(
    dtype: torch.dtype, nesterov: bool
) -> None:
    whole, again, engines = resumed(
        lambda module: SGD(momentum=0.9, nesterov=nesterov).bind(module, lr=0.02),
        lambda step, i: None if i % 3 == 2 and step < 2 else 1.0,
        dtype,
        5,
        8,
        [(9, 6), (9,), (9, 9), (3, 9), (5,), (7,)],
    )

    assert equal(whole, again)
    assert engines[0] == engines[1]


class Sum(Record):
    sum: Tensor


class Counted(Record):
    step: int


class Sometimes(SimpleOptimizer[Counted]):
    """Is elementwise at every other step."""

    def init(self, tensor: Tensor) -> Counted:
        return Counted(0)

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Counted) -> Any:
        if state.step % 2 == 0:
            grad = grad / grad.norm()
        return tensor - grad.exp() * lr, Counted(state.step + 1)


@pytest.mark.parametrize("at", [2, 3])
@pytest.mark.parametrize("fused", [None, True])
def test_a_step_that_is_elementwise_at_times_is_planned_each_time(
    at: int, fused: bool | None
) -> None:
    whole, again, engines = resumed(
        lambda module: Sometimes().bind(module, lr=0.01, fused=fused),
        lambda step, i: 1.0,
        torch.float32,
        at,
        at + 3,
    )

    assert equal(whole, again)
    assert engines[0] == engines[1]


def test_what_is_remembered_of_states_does_not_grow_with_the_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(burnish.optim.bound.initial_states, "_MANY", 16)
    module = net()
    adaptor = AdamW().bind(module, lr=Constant(0.01))

    for step in range(40):
        adaptor.param_groups[0]["weight_decay"] = 0.01 + step * 1e-4
        steps(module, adaptor, lambda s, i: 1.0 if (s + i) % 2 else None, step)

    assert len(adaptor._bound.initial_states.blanks)  # pyright: ignore[reportPrivateUsage] <= 16


def test_copies_go_on_where_gradients_come_late() -> None:
    module = net()
    adaptor = UserAdamW().bind(module, lr=0.01)
    steps(module, adaptor, lambda s, i: 1.0 if i % 2 else None, 1, 2)

    other, copied = copy.deepcopy((module, adaptor))
    steps(module, adaptor, lambda s, i: 1.0, 3, 4)
    steps(other, copied, lambda s, i: 1.0, 3, 4)

    assert equal(module, other)


def _change_format(module: Any, adaptor: Any) -> None:
    module[2].data = module[2].data.contiguous()


def _set_state(module: Any, adaptor: Any) -> None:
    state = adaptor.state[module[3]]
    state["exp_avg"] = state["exp_avg"].clone()


def _regroup(module: Any, adaptor: Any) -> None:
    adaptor.add_param_group({"params": []})
    adaptor.param_groups[1]["params"] = [*module][::2]
    adaptor.param_groups[0]["params"] = [*module][1::2]


@pytest.mark.parametrize("change", [_change_format, _set_state, _regroup])
def test_a_state_that_left_its_place_leaves_no_trace(change: Any) -> None:
    module = net(torch.bfloat16, [(7,), (300,), (17, 3), (45,), (129,)])
    module[2].data = module[2].data.t().contiguous().t()
    adaptor = Lion().bind(module, lr=0.01)
    steps(module, adaptor, lambda s, i: 1.0, 1)

    change(module, adaptor)
    steps(module, adaptor, lambda s, i: 1.0, 2)
    other, copied = copy.deepcopy((module, adaptor))
    steps(module, adaptor, lambda s, i: 1.0, *range(3, 9))
    steps(other, copied, lambda s, i: 1.0, *range(3, 9))

    assert equal(module, other)
    for p, q in zip(module, other, strict=True):
        assert torch.equal(adaptor.state[p]["exp_avg"], copied.state[q]["exp_avg"])
