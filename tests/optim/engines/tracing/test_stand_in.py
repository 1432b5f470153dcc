# pyright: reportPrivateUsage=false
# The dispatch keys of a tensor have no public name.
"""A stand-in is a real tensor: what C++ unpacks, and what goes round the recording."""

from typing import Any

import torch
from torch import Tensor

from burnish.optim.engines.tracing.step_call import StepCall
from burnish.optim.engines.tracing.trace import BucketLayout, trace

from ...nets import calling


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
