"""Parameters and states of several groups, or buckets of one, that share memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import (
    SGD,
    Group,
    SimpleOptimizer,
)
from burnish.records import Record

from ...nets import (
    UserAdamW,
    drive,
    equal,
    plist,
)
from ...steppers import Stepping


@pytest.mark.parametrize("fused", [False, None, True])
def test_parameters_that_share_memory_are_stepped_one_after_the_other(
    fused: bool | None,
) -> None:
    modules = [shared_memory(), shared_memory()]
    engine = UserAdamW().bind(modules[0], lr=1e-2, fused=fused)
    loop = UserAdamW().bind(modules[1], lr=1e-2, fused=False)

    drive(engine, modules[0], 1, 2, 3)
    drive(loop, modules[1], 1, 2, 3)

    assert equal(*modules)


def shared_memory() -> Any:
    base = torch.arange(12.0)
    return plist(nn.Parameter(base[:8]), nn.Parameter(base[4:]))


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_gradient_inside_another_parameter_is_stepped_as_in_the_loop(
    fused: bool | None,
) -> None:
    results = []
    for choice in (fused, False):
        module = plist(torch.ones(6), torch.arange(6.0))
        module[0].grad = module[1].detach()
        module[1].grad = torch.ones(6)
        adaptor = SGD().bind(module, lr=0.5, fused=choice)
        adaptor.step()
        results.append(module)

    assert equal(*results)


@pytest.mark.parametrize("fused", [False, None, True])
def test_parameters_that_share_memory_are_in_turn_whatever_their_gradients_are(
    fused: bool | None,
) -> None:
    base = torch.arange(12.0)
    module = plist(nn.Parameter(base[:8]), nn.Parameter(base[4:]))
    # An expanded gradient has another memory format, and so another engine.
    module[0].grad = torch.ones(()).expand(8)
    module[1].grad = torch.ones(8)
    adaptor = Stepping(fn=lambda p, g, a, b: (p * 0.5 - g, a, b)).bind(
        module, lr=1.0, fused=fused
    )

    adaptor.step()

    expected = torch.arange(12.0)
    expected[:8] = expected[:8] * 0.5 - 1
    expected[4:] = expected[4:] * 0.5 - 1
    assert torch.equal(base, expected)


ENGINES = [None, True, False]


class Average(Record):
    t: int
    mean: Tensor


@dataclass(frozen=True, kw_only=True)
class Turning(SimpleOptimizer[Average]):
    """An elementwise step but at some calls, where it reads values."""

    at: int = -1
    """The step that no recording serves; none for -1."""
    limit: float = 1e6
    """From which value on that step raises."""

    def init(self, tensor: Tensor) -> Average:
        return Average(0, torch.zeros_like(tensor))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Average
    ) -> tuple[Tensor, Average]:
        t = state.t + 1
        mean = 0.5 * state.mean + grad
        largest = 1.0 if t != self.at else float(mean.abs().amax())
        if t == self.at and largest > self.limit:
            raise ValueError("too large")
        scale = lr * largest
        return tensor - scale * mean - 0.125 * tensor, Average(t, mean)


class Windows(nn.Module):
    """Parameters that are windows of one run of memory, each beginning in another."""

    def __init__(self, n: int = 3) -> None:
        super().__init__()
        whole = torch.linspace(-1.0, 1.0, 4 + 2 * n)
        self.parts = nn.ParameterList(
            nn.Parameter(whole[2 * i : 2 * i + 4]) for i in range(n)
        )


def grads_of(net: nn.Module, step: int) -> None:
    for i, p in enumerate(net.parameters()):
        generator = torch.Generator().manual_seed(100 * step + i)
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)


def run(
    net: nn.Module,
    optim: Any,
    n_steps: int,
    before: Callable[[int], None] = lambda step: None,
) -> list[Tensor]:
    """Return parameters and states after some steps."""
    for step in range(1, n_steps + 1):
        grads_of(net, step)
        before(step)
        optim.step()
    states = [s for p in net.parameters() for s in optim.state[p].values()]
    return [p.detach() for p in net.parameters()] + [
        torch.as_tensor(s, dtype=torch.float32) for s in states
    ]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(
        torch.allclose(x.to_dense(), y.to_dense(), rtol=1e-5, atol=1e-6)
        for x, y in zip(a, b, strict=True)
    )


def grouped(fused: bool | None, at: tuple[int, int, int]) -> list[Tensor]:
    net = Windows()
    groups = [
        Group(f"parts.{i}", optimizer=Turning(at=at[i]), lr=0.1 * (i + 1))
        for i in range(3)
    ]
    return run(net, Turning().bind(net, lr=0.1, groups=groups, fused=fused), 5)


@pytest.mark.parametrize("fused", ENGINES)
@pytest.mark.parametrize("at", [(3, -1, -1), (-1, 3, -1), (-1, -1, 3), (3, 4, 3)])
def test_groups_that_share_memory_are_stepped_in_turn_when_one_turns_to_the_loop(
    at: tuple[int, int, int], fused: bool | None
) -> None:
    assert same(grouped(fused, at), grouped(False, at))


@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize("sparse", range(3))
def test_groups_that_share_memory_are_stepped_in_turn_when_a_gradient_turns_sparse(
    sparse: int, fused: bool | None
) -> None:
    def result(fused: bool | None) -> list[Tensor]:
        net = Windows()

        def before(step: int) -> None:
            if step == 3:
                part = net.parts[sparse]
                assert part.grad is not None
                part.grad = part.grad.to_sparse()

        groups = [Group(f"parts.{i}", lr=0.1 * (i + 1)) for i in range(3)]
        optim = Turning().bind(net, lr=0.1, groups=groups, fused=fused)
        return run(net, optim, 5, before)

    assert same(result(fused), result(False))


@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize("late", range(3))
def test_parameters_of_several_buckets_that_come_to_share_memory_step_in_turn(
    late: int, fused: bool | None
) -> None:
    def result(fused: bool | None) -> list[Tensor]:
        net, shared = Windows(), Windows()
        for p in net.parts:
            p.data = p.data.clone()  # of their own, at first

        def before(step: int) -> None:
            if step == 1:
                net.parts[late].grad = None  # so that its numbers are others
            if step == 3:
                for mine, other in zip(net.parts, shared.parts, strict=True):
                    mine.data = other.data

        return run(net, Turning().bind(net, lr=0.1, fused=fused), 5, before)

    assert same(result(fused), result(False))


@pytest.mark.parametrize("fused", [None, True])
def test_states_of_several_groups_that_were_made_to_share_memory_get_their_own(
    fused: bool | None,
) -> None:
    def result(fused: bool | None) -> list[Tensor]:
        net = nn.ParameterList(nn.Parameter(torch.ones(4) * i) for i in range(3))

        def before(step: int) -> None:
            if step == 3:
                states = [optim.state[p] for p in net]
                states[2]["mean"] = states[0]["mean"]
                states[1]["mean"] = net[2].detach()

        groups = [Group(f"{i}", lr=0.1 * (i + 1)) for i in range(3)]
        optim = Turning().bind(net, lr=0.1, groups=groups, fused=fused)
        return run(net, optim, 5, before)

    own = result(False)
    assert len({t.data_ptr() for t in own}) == len(own)
    assert same(result(fused), own)


@pytest.mark.parametrize("fused", ENGINES)
def test_a_group_that_turns_to_the_loop_and_fails_says_what_was_moved_before(
    fused: bool | None,
) -> None:
    net = Windows()
    groups = [Group("parts.1", optimizer=Turning(at=2, limit=0.0), lr=0.1)]
    optim = Turning().bind(net, lr=0.1, groups=groups, fused=fused)
    run(net, optim, 1)
    grads_of(net, 2)

    with pytest.raises(ValueError, match="too large") as caught:
        optim.step()

    note = caught.value.__notes__[-1]
    assert (
        "for parts.1; 2 parameters had been stepped before it: parts.0, parts.2" in note
    )
    assert [optim.state[p]["t"] for p in net.parts] == [2, 1, 2]
