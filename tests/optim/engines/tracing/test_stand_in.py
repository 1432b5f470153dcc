# pyright: reportPrivateUsage=false
# The dispatch keys of a tensor have no public name.
"""A stand-in is a real tensor: what C++ unpacks, and what goes round the recording."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim.engines.tracing.recording import ImpureStepError
from burnish.optim.engines.tracing.step_call import StepCall
from burnish.optim.engines.tracing.trace import BucketLayout, trace

from ...nets import calling

Step = Callable[[Tensor, Tensor], Tensor]


def _layout() -> BucketLayout:
    like = torch.empty(3)
    return BucketLayout(like, None, (), (like.dtype, like.dtype))


def test_a_kept_stand_in_keeps_its_place_in_the_next_recording() -> None:
    kept: list[Tensor] = []

    def step(tensor: Tensor, grad: Tensor) -> Tensor:
        double = grad * 2.0
        kept.append(double)
        return tensor - double - (grad + 1.0)

    like = torch.empty(3)
    layout = BucketLayout(like, None, (), (like.dtype, like.dtype))
    call = StepCall(calling(step), 0.1)
    first = trace(call, layout, {}).key()
    second = trace(call, layout, {}).key()

    assert first == second
    assert kept[0] is not kept[1]


def test_stand_ins_answer_as_the_tensor_they_stand_for() -> None:
    answers: list[Any] = []

    def step(tensor: Tensor, grad: Tensor) -> Tensor:
        answers[:] = [
            tensor.dtype,
            tensor.device.type,
            tensor.layout,
            tensor.is_cpu,
            tensor.is_floating_point(),
            isinstance(tensor, Tensor),  # pyright: ignore[reportUnnecessaryIsInstance]
            tensor.shape,
            tensor.ndim,
            tensor.numel(),
        ]
        return tensor - grad

    like = torch.empty((3, 4), dtype=torch.bfloat16)
    made = trace(
        StepCall(calling(step), 0.1),
        BucketLayout(like, None, (), (like.dtype, like.dtype)),
        {},
    )

    shape = torch.Size([3, 4])
    assert answers[:6] == [like.dtype, "cpu", torch.strided, True, True, True]
    assert answers[6:] == [shape, 2, 12]
    assert made.reads_shape


def _step_keeping(keep: Callable[[Tensor], Tensor]) -> Step:
    """Return a step that goes on using what ``keep`` made of its first gradient."""
    kept: list[Tensor] = []

    def step(tensor: Tensor, grad: Tensor) -> Tensor:
        other = grad * 3.0
        if not kept:
            kept.append(keep(grad))
        return tensor - other * kept[0]

    return step


@pytest.mark.parametrize(
    "keep", [lambda g: g, Tensor.clone, torch.ones_like, lambda g: g + 1.0]
)
def test_a_step_that_uses_a_kept_stand_in_is_refused(
    keep: Callable[[Tensor], Tensor],
) -> None:
    call, layout = StepCall(calling(_step_keeping(keep)), 0.1), _layout()
    trace(call, layout, {})

    with pytest.raises(ImpureStepError, match="an earlier call kept"):
        trace(call, layout, {})


def test_a_stand_in_kept_from_another_bucket_is_refused() -> None:
    call = StepCall(calling(_step_keeping(torch.ones_like)), 0.1)
    trace(call, _layout(), {})

    with pytest.raises(ImpureStepError, match="an earlier call kept"):
        trace(call, _layout(), {})


def test_a_function_that_caches_by_tensor_gets_another_one_at_each_step() -> None:
    @cache
    def doubled(value: Tensor) -> Tensor:
        return value * 2.0

    def step(tensor: Tensor, grad: Tensor) -> Tensor:
        return tensor - (grad + 1.0) * doubled(grad)

    call, layout = StepCall(calling(step), 0.1), _layout()
    first, second = trace(call, layout, {}), trace(call, layout, {})

    assert first.ops == second.ops


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_kept_stand_in_is_refused_where_steps_are_computed_wider(
    dtype: torch.dtype,
) -> None:
    like = torch.empty(3, dtype=dtype)
    layout = BucketLayout(like, None, (), (like.dtype, like.dtype))
    step = calling(_step_keeping(lambda g: g))
    call = StepCall(step, 0.1, compute=torch.float32)
    trace(call, layout, {})

    with pytest.raises(ImpureStepError, match="an earlier call kept"):
        trace(call, layout, {})


def test_an_optimizer_that_keeps_a_tensor_between_steps_says_where_to_keep_it() -> None:
    net = nn.Linear(2, 2, bias=False)
    optim = calling(_step_keeping(torch.ones_like)).bind(net, lr=0.1)
    before = net.weight.detach().clone()
    net.weight.grad = torch.ones(2, 2)

    with pytest.raises(ImpureStepError, match=r"(?s)Keep tensors in the state.*weight"):
        optim.step()

    assert torch.equal(net.weight, before)
