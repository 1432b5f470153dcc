# pyright: reportPrivateUsage=false
# The dispatch keys of a tensor have no public name.
"""What a step does is written down, or the step runs as it is written."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import (
    SimpleOptimizer,
    engine_report,
)
from burnish.records import Record

from ...nets import (
    Net,
    calling,
    distance,
    drive,
    engine_names,
    equal,
    set_grads,
)
from ...steppers import Stepping


def test_a_tensor_that_is_neither_argument_nor_state_is_refused() -> None:
    closed_over = torch.randn(4)
    module: Any = nn.Linear(4, 1, bias=False)
    adaptor = Stepping(fn=lambda p, g, a, b: (p - closed_over * g, a, b)).bind(
        module, lr=1
    )

    drive(adaptor, module, 1)

    assert engine_names(adaptor) == {"loop"}


def test_branches_on_numbers_and_shapes_are_followed_at_every_step() -> None:
    class Count(Record):
        t: int
        m: Tensor

    @dataclass(frozen=True, kw_only=True)
    class Warm(SimpleOptimizer[Count]):
        def init(self, tensor: Tensor) -> Count:
            return Count(0, torch.zeros_like(tensor))

        def step(
            self, lr: float, tensor: Tensor, grad: Tensor, state: Count
        ) -> tuple[Tensor, Count]:
            m = state.m * 0.9 + grad if state.t % 2 else grad * math.cos(state.t)
            if tensor.ndim > 1:
                m = m * (1 / tensor.shape[0])
            return tensor - m * lr, Count(state.t + 1, m)

    left, right = Net(), Net()
    del left.empty, right.empty
    for fused in (None, True):
        engine = Warm().bind(left, lr=0.1, fused=fused)
        loop = Warm().bind(right, lr=0.1, fused=False)

        drive(engine, left, *range(6))
        drive(loop, right, *range(6))

        assert distance(left, right) <= 1e-5
        assert engine_names(engine) <= {"compiled", "blocks"}


@pytest.mark.parametrize("fused", [None, True])
def test_a_shape_that_is_asked_for_at_some_steps_only_is_that_of_each_parameter(
    fused: bool | None,
) -> None:
    class Count(Record):
        t: int
        m: Tensor

    @dataclass(frozen=True, kw_only=True)
    class Late(SimpleOptimizer[Count]):
        def init(self, tensor: Tensor) -> Count:
            return Count(0, torch.zeros_like(tensor))

        def step(
            self, lr: float, tensor: Tensor, grad: Tensor, state: Count
        ) -> tuple[Tensor, Count]:
            m = state.m * 0.9 + grad
            if state.t % 3 == 2:
                m = torch.add(m, grad, alpha=tensor.ndim) * (1 / max(tensor.numel(), 1))
            return tensor - m * lr, Count(state.t + 1, m)

    left, right = Net(), Net()
    engine = Late().bind(left, lr=0.1, fused=fused)
    loop = Late().bind(right, lr=0.1, fused=False)

    for seed in range(7):
        drive(engine, left, seed)
        drive(loop, right, seed)
        assert distance(left, right) <= 1e-5


@pytest.mark.parametrize("fused", [False, None, True])
def test_what_is_written_through_data_is_written_as_in_the_loop(
    fused: bool | None,
) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Through(SimpleOptimizer[None]):
        def step(
            self, lr: float, tensor: Tensor, grad: Tensor, state: None
        ) -> tuple[Tensor, None]:
            update = grad * 2.0
            update.data.add_(grad)
            grad.data.mul_(1.0)
            return tensor - update * lr, None

    module, peer = nn.Linear(3, 2), nn.Linear(3, 2)
    peer.load_state_dict(module.state_dict())
    adaptor = Through().bind(module, lr=0.1, fused=fused)
    for seed in range(3):
        set_grads(module, seed)
        set_grads(peer, seed)
        adaptor.step()
        for param in peer.parameters():
            assert param.grad is not None
            param.data -= 3 * param.grad * 0.1

    assert distance(module, peer) <= 1e-6


def round_about(tensor: Tensor, grad: Tensor) -> Tensor:
    """Read the size of what C++ sees, behind the back of the recording."""
    with torch._C.DisableTorchFunctionSubclass():
        count = torch.numel(grad)
    return tensor - grad / count


@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.filterwarnings("ignore:fused=True falls back")
def test_a_function_that_goes_round_the_recording_is_noticed(
    fused: bool | None,
) -> None:
    left, right = Net(), Net()
    straight = calling(lambda t, g: t - g / 100.0)
    drive(straight.bind(Net(), lr=0.1, fused=fused), Net(), 1)
    adaptor = calling(round_about).bind(left, lr=0.1, fused=fused)

    drive(adaptor, left, 1)
    drive(calling(round_about).bind(right, lr=0.1, fused=False), right, 1)

    assert engine_names(adaptor) == {"loop"}
    assert equal(left, right)


def test_a_printing_step_prints_real_tensors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def step(tensor: Tensor, grad: Tensor) -> Tensor:
        print(f"gradient {grad}")
        return tensor - grad

    net = Net(large=False)
    adaptor = calling(step).bind(net, lr=0.1)
    drive(adaptor, net, 1)

    assert "it prints a tensor" in engine_report(adaptor)[0].why
    assert "gradient tensor(" in capsys.readouterr().out
