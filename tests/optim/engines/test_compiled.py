"""Compiled steps: masks, scalars, threads, and what a job keeps."""

import weakref
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.optim import (
    Lion,
    SimpleOptimizer,
)
from burnish.optim.engines.tracing.step_call import StepCall
from burnish.records import Record

from ..nets import (
    Net,
    UserAdamW,
    drive,
    engine_names,
    equal,
    plist,
)


def test_two_threads_give_the_numbers_of_one() -> None:
    big = [plist(torch.ones(1200, 500), torch.ones(7)) for _ in "ab"]
    for threads, net in zip((1, 2), big, strict=True):
        torch.set_num_threads(threads)
        try:
            drive(UserAdamW().bind(net, lr=0.1, fused=True), net, 1, 2)
        finally:
            torch.set_num_threads(1)

    assert equal(*big)


class Scaled(SimpleOptimizer[None]):
    """Mixes the parameter with a tensor of its own."""

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
        moved = tensor - grad * torch.tensor(0.3, dtype=torch.float64)
        return moved * (1 / 3), None


@pytest.mark.parametrize("fused", [None, True])
def test_a_scalar_parameter_is_promoted_by_a_tensor_as_in_the_loop(
    fused: bool | None,
) -> None:
    net = plist(torch.tensor(2.0), torch.tensor([2.0, 3.0]))
    net[1].grad = torch.ones(2)
    adaptor = Scaled().bind(net, lr=1.0, fused=fused)
    adaptor.step()
    assert engine_names(adaptor) <= {"blocks", "compiled"}
    net[0].grad = torch.tensor(1.0)

    # Of two scalars the wider dtype wins, and a step has to give what came.
    with pytest.raises(TypeError, match="float64"):
        adaptor.step()


class Mask(Record):
    seen: Tensor
    n: Tensor


@dataclass(frozen=True, kw_only=True)
class Masking(SimpleOptimizer[Mask]):
    """Keeps a mask, and a tensor that stays."""

    whole: bool

    def init(self, tensor: Tensor) -> Mask:
        dtype = torch.int64 if self.whole else None
        return Mask(tensor > 0, torch.zeros_like(tensor, dtype=dtype))

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Mask) -> Any:
        moved = torch.where(state.seen, tensor - grad, tensor * 0.5)
        return moved, Mask(moved > grad, state.n)


@pytest.mark.parametrize(("whole", "engine"), [(False, "compiled"), (True, "blocks")])
@pytest.mark.filterwarnings("ignore:fused=True falls back")
def test_masks_are_states_of_compiled_steps_and_whole_numbers_fall_back(
    *, whole: bool, engine: str
) -> None:
    left, right = Net(large=False), Net(large=False)
    adaptor = Masking(whole=whole).bind(left, lr=1.0, fused=True)
    loop = Masking(whole=whole).bind(right, lr=1.0, fused=False)

    drive(adaptor, left, 1, 2, 3)
    drive(loop, right, 1, 2, 3)

    assert engine_names(adaptor) == {engine}
    assert equal(left, right)
    for a, b in zip(left.parameters(), right.parameters(), strict=True):
        assert torch.equal(adaptor.state[a]["seen"], loop.state[b]["seen"])


def test_a_compiled_job_keeps_the_gradients_that_it_was_prepared_with() -> None:
    net = plist(torch.ones(5))
    optimizer = Lion().bind(net, lr=0.1, fused=True)
    drive(optimizer, net, 1)
    plans = optimizer._runner.plans()  # pyright: ignore[reportPrivateUsage]  # users have no face for it
    (bucket,) = plans[0].buckets
    assert bucket.engine.name == "compiled"
    grads = [torch.ones(5)]
    assert bucket.fits(grads)
    gradient = weakref.ref(grads[0])

    job = bucket.engine.prepare(bucket, grads, StepCall(Lion(), 0.1))
    grads.clear()

    assert gradient() is not None
    job()
    assert gradient() is None
