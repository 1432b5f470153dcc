# pyright: reportPrivateUsage=false
# The dispatch keys of a tensor have no public name.
"""A stand-in is a real tensor: what C++ unpacks, and what goes round the recording."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.optim import SimpleOptimizer, engine_report
from burnish.optim.engines.tracing.step_call import StepCall
from burnish.optim.engines.tracing.trace import BucketLayout, trace

from .nets import Net, drive, engine_names, equal

SPACES = ["torch", "functional", "linalg", "special"]


def calling(step: Callable[[Tensor, Tensor], Any]) -> SimpleOptimizer[None]:
    """Return an optimizer without state; its class is its own."""

    class Called(SimpleOptimizer[None]):
        def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
            return step(tensor, grad), None

    return Called()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_every_function_of_torch_takes_stand_ins_or_runs_as_written(dtype: str) -> None:
    spaces = [*SPACES, "Tensor"] if dtype == "bfloat16" else SPACES
    file = Path(__file__).parent / "every_function.py"

    done = subprocess.run(
        [sys.executable, str(file), dtype, *spaces],
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )

    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert results["wrong"] == []
    assert "torch.where 7" in results["recorded"]
    assert results["calls"] > 10_000


@pytest.mark.parametrize("fused", [None, True])
def test_masks_choose_between_a_half_tensor_and_a_number(fused: bool | None) -> None:
    simple = calling(lambda t, g: t - torch.where(g > 0.1, g, 0.0))
    left, right = Net(torch.bfloat16), Net(torch.bfloat16)
    adaptor = simple.bind(left, lr=0.1, fused=fused)

    drive(adaptor, left, 1, 2)
    drive(simple.bind(right, lr=0.1, fused=False), right, 1, 2)

    assert equal(left, right)
    assert engine_names(adaptor) == {"compiled" if fused else "blocks"}


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
