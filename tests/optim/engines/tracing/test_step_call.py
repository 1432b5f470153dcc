"""What surrounds one call of a step: old states, tracebacks, forgotten results."""

import traceback
from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.optim import (
    GradientsAccumulator,
    ImpureStepError,
    SimpleOptimizer,
)
from burnish.records import Record

from ...nets import (
    Failing,
    drive,
    plist,
    set_grads,
)


class Previous(Record):
    before: Tensor


class Late(SimpleOptimizer[Previous]):
    """Moves to where its state was, and keeps the gradient."""

    def init(self, tensor: Tensor) -> Previous:
        return Previous(torch.full_like(tensor, 7.0))

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Previous) -> Any:
        return state.before, Previous(grad * 2.0)


@pytest.mark.parametrize("fused", [False, None, True])
def test_an_old_state_that_becomes_the_tensor_is_the_old_one(
    fused: bool | None,
) -> None:
    net = plist(torch.zeros(3), torch.zeros(2, 2))
    adaptor = Late().bind(net, lr=0.1, fused=fused)

    for value in (1.0, 2.0):
        for p in net.parameters():
            p.grad = torch.full_like(p, value)
        adaptor.step()

    assert all(torch.equal(p, torch.full_like(p, 2.0)) for p in net.parameters())


def test_accumulated_sums_do_not_change_with_the_gradients() -> None:
    sums = GradientsAccumulator()
    grad = torch.ones(3)

    sums.accumulate({"a": grad})
    grad.zero_()
    sums.accumulate({"a": torch.full((3,), 2.0)})

    assert torch.equal(sums.grads()["a"], torch.full((3,), 3.0))


def test_a_traceback_ends_at_the_authors_line_after_few_of_ours() -> None:
    net = plist(torch.ones(2))
    adaptor = Failing(size=2).bind(net, lr=0.1)
    set_grads(net, 1)

    with pytest.raises(KeyError) as caught:
        adaptor.step()

    frames = traceback.extract_tb(caught.tb)
    ours = [frame for frame in frames if "burnish" in frame.filename]
    assert "the author's line" in str(frames[-1].line)
    assert len(ours) <= 4


RETURNS: dict[str, tuple[Any, str]] = {
    "the tensor alone": (lambda t, g: t - g, "a tensor alone"),
    "nothing": (lambda t, g: None, "None"),
    "three values": (lambda t, g: (t, None, None), "3 values"),
}


@pytest.mark.parametrize("fused", [False, None, True])
@pytest.mark.parametrize("name", RETURNS)
def test_a_forgotten_state_is_told_in_words(name: str, fused: bool | None) -> None:
    returned, words = RETURNS[name]

    class Forgetful(SimpleOptimizer[None]):
        def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
            return returned(tensor, grad)

    net = plist(torch.ones(3))
    set_grads(net, 1)

    with pytest.raises(ImpureStepError, match=f"returns {words}, expected") as caught:
        Forgetful().bind(net, lr=0.1, fused=fused).step()

    assert "Forgetful for 0" in caught.value.__notes__[0]


class Kept(Record):
    before: Tensor
    held: list[Any]


class Holding(SimpleOptimizer[Kept]):
    """Keeps its old state in a list, and writes a new one in its place."""

    def init(self, tensor: Tensor) -> Kept:
        return Kept(torch.full_like(tensor, 7.0), [])

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Kept) -> Any:
        return tensor - grad, Kept(grad * 1.0, [state.before])


def test_an_old_state_that_is_put_in_a_list_of_the_new_one_stays_as_it_was() -> None:
    net = plist(torch.zeros(3))
    adaptor = Holding().bind(net, lr=0.1)

    drive(adaptor, net, 1)

    assert torch.equal(adaptor.state[net[0]]["held"][0], torch.full((3,), 7.0))
