"""The engine, and each bit, follow from what is stored, not from how it came about."""

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import burnish.optim.bound.initial_states
from burnish.optim import (
    SGD,
    AdamW,
    ClipGlobalNorm,
    ClipNorm,
    ClipValue,
    Muon,
    OptimizerAdaptor,
    SimpleOptimizer,
)
from burnish.optim.schedulers import Constant
from burnish.records import Record

from .nets import UserAdamW, engine_names, equal, plist

SIZES = [(5,), (300,), (17, 3), (), (129,), (64, 64)]
Bind = Callable[[nn.Module], OptimizerAdaptor]
Gradients = Callable[[int, int], float | None]
"""The size of the gradient of a step and a parameter; None for no gradient."""


def net(dtype: torch.dtype = torch.float32, sizes: Any = SIZES) -> Any:
    generator = torch.Generator().manual_seed(0)
    return plist(*[torch.randn(s, generator=generator).to(dtype) for s in sizes])


def steps(
    module: Any, adaptor: OptimizerAdaptor, gradients: Gradients, *numbers: int
) -> None:
    for step in numbers:
        for i, p in enumerate(module):
            scale = gradients(step, i)
            generator = torch.Generator().manual_seed(100 * step + i)
            grad = torch.randn(p.shape, generator=generator)
            p.grad = None if scale is None else (grad * scale).to(p.dtype)
        adaptor.step()


def resumed(
    bind: Bind,
    gradients: Gradients,
    dtype: torch.dtype,
    at: int,
    end: int,
    sizes: Any = SIZES,
) -> tuple[Any, Any, list[set[str]]]:
    """Return an uninterrupted module and a resumed one, and their last engines."""
    whole = net(dtype, sizes)
    first = bind(whole)
    steps(whole, first, gradients, *range(at))
    again = net(dtype, sizes)
    again.load_state_dict(whole.state_dict())
    second = bind(again)
    second.load_record(first.save_record(), hyperparameters="restore")
    steps(whole, first, gradients, *range(at, end))
    steps(again, second, gradients, *range(at, end))
    return whole, again, [engine_names(first), engine_names(second)]


CLIPS: dict[str, Any] = {
    "value": ClipValue(0.5),
    "norm": ClipNorm(1.0),
    "global": ClipGlobalNorm(1.0),
}


@pytest.mark.parametrize("grows", [True, False])
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("simple", [AdamW(), SGD(momentum=0.9), UserAdamW()])
def test_the_first_gradient_does_not_choose_the_engine(
    simple: SimpleOptimizer[Any], clip: str, grows: bool
) -> None:
    whole, again, engines = resumed(
        lambda module: simple.bind(module, lr=0.01, clip=CLIPS[clip]),
        lambda step, i: 1e-4 if (step < 3) is grows else 10.0,
        torch.float32,
        3,
        6,
    )

    assert equal(whole, again)
    assert engines[0] == engines[1]


@pytest.mark.parametrize("clip", CLIPS)
def test_a_report_before_the_first_step_knows_of_the_clip(clip: str) -> None:
    module = net()
    adaptor = AdamW().bind(module, lr=0.01, clip=CLIPS[clip])
    before = engine_names(adaptor)

    steps(module, adaptor, lambda step, i: 1.0, 1)

    assert engine_names(adaptor) == before


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


def test_a_hyperparameter_that_no_kernel_does_changes_the_engine_for_a_time() -> None:
    module = net()
    adaptor = SGD(momentum=0.9, nesterov=True).bind(module, lr=0.01)
    engines: list[set[str]] = []
    for dampening in (0.0, 0.5, 0.5, 0.0):
        adaptor.param_groups[0]["dampening"] = dampening
        steps(module, adaptor, lambda step, i: 1.0, 1)
        engines.append(engine_names(adaptor))

    assert engines == [{"torch_fused"}, {"blocks"}, {"blocks"}, {"torch_fused"}]


class Noisy(SimpleOptimizer[None]):
    """Draws a number for each parameter, which a recording would draw once."""

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
        noise = float(torch.rand((), device="cpu"))
        return tensor - grad * (lr * noise), None


class Noise(SimpleOptimizer[None]):
    """Draws numbers for every element."""

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
        return tensor - torch.rand_like(grad) * lr, None


@pytest.mark.parametrize("simple", [Noisy(), Noise()])
@pytest.mark.parametrize("fused", [None, True, False])
def test_a_step_that_draws_draws_as_often_as_it_is_written(
    simple: SimpleOptimizer[None], fused: bool | None
) -> None:
    left, right = net(), net()
    torch.manual_seed(3)
    steps(left, simple.bind(left, lr=0.1, fused=fused), lambda s, i: 1.0, 1, 2)
    drawn = torch.rand(1)

    torch.manual_seed(3)
    for number in (1, 2):
        for i, p in enumerate(right):
            generator = torch.Generator().manual_seed(100 * number + i)
            grad = torch.randn(p.shape, generator=generator)
            p.data.copy_(simple.step(0.1, p.detach(), grad, None)[0])

    assert equal(left, right)
    assert torch.equal(drawn, torch.rand(1))


@pytest.mark.parametrize("clip", [ClipNorm(1.0), ClipGlobalNorm(1.0)])
@pytest.mark.parametrize("fused", [None, False])
def test_a_norm_that_is_no_number_lets_nothing_through(
    clip: Any, fused: bool | None
) -> None:
    module = plist(torch.ones(2))
    adaptor = SGD().bind(module, lr=0.1, clip=clip, fused=fused)

    module[0].grad = torch.tensor([float("nan"), 1e6])
    adaptor.step()

    assert bool(module[0].isnan().all())


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


def test_muon_is_stacked_whether_or_not_a_clip_is_told() -> None:
    modules = [plist(torch.ones(4, 6), torch.ones(4, 6)) for _ in "ab"]
    adaptors = [
        Muon().bind(module, lr=0.1, clip=clip)
        for module, clip in zip(modules, (None, ClipGlobalNorm(100.0)), strict=True)
    ]

    for module, adaptor in zip(modules, adaptors, strict=True):
        for p in module:
            p.grad = torch.arange(24.0).reshape(4, 6) / 24
        adaptor.step()

    assert [engine_names(adaptor) for adaptor in adaptors] == [{"stacked"}] * 2
    assert equal(*modules)


def test_copies_go_on_where_gradients_come_late() -> None:
    module = net()
    adaptor = UserAdamW().bind(module, lr=0.01)
    steps(module, adaptor, lambda s, i: 1.0 if i % 2 else None, 1, 2)

    other, copied = copy.deepcopy((module, adaptor))
    steps(module, adaptor, lambda s, i: 1.0, 3, 4)
    steps(other, copied, lambda s, i: 1.0, 3, 4)

    assert equal(module, other)


class Count(Record):
    t: int


def noise_of(t: int) -> float:
    return float(torch.rand(())) if t > 2 else 1.0


gauss = random.gauss


@dataclass(frozen=True, kw_only=True)
class NoisyLater(SimpleOptimizer[Count]):
    """Draws from the third step on, in one of many ways."""

    how: str

    def init(self, tensor: Tensor) -> Count:
        return Count(0)

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Count) -> Any:
        t, size = state.t + 1, 1.0
        if self.how == "function":
            size = noise_of(t)
        elif self.how == "method":
            size = self.drawn(t)
        elif self.how == "global" and t > 2:
            size = gauss(0.0, 1.0)
        elif self.how == "norm":
            size = float(grad.norm()) * self.drawn(t)
        return tensor - grad * (lr * size), Count(t)

    def drawn(self, t: int) -> float:
        return float(np.random.rand()) + random.random() if t > 2 else 1.0


@pytest.mark.parametrize("how", ["function", "method", "global", "norm"])
@pytest.mark.parametrize("fused", [None, True])
def test_a_step_that_draws_later_than_its_first_trial_draws_as_it_is_written(
    how: str, fused: bool | None
) -> None:
    results = []
    for choice in (fused, False):
        module = net()
        torch.manual_seed(3)
        random.seed(3)
        np.random.seed(3)
        steps(
            module,
            NoisyLater(how=how).bind(module, lr=0.1, fused=choice),
            lambda s, i: 1.0,
            *range(1, 6),
        )
        results.append((module, torch.rand(1), random.random(), np.random.rand()))

    assert equal(results[0][0], results[1][0])
    assert results[0][1:] == results[1][1:]


def test_code_that_names_no_generator_is_recorded_as_ever() -> None:
    module = net()
    adaptor = UserAdamW().bind(module, lr=0.1)

    assert engine_names(adaptor) == {"blocks"}


class Drawn(Record):
    scale: Tensor


@dataclass(frozen=True, kw_only=True)
class Drawing(SimpleOptimizer[Drawn]):
    """An optimizer whose states are drawn at first."""

    weight_decay: float = 0.0

    def init(self, tensor: Tensor) -> Drawn:
        return Drawn(torch.rand(tensor.shape) + random.random() + np.random.rand())

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Drawn
    ) -> tuple[Tensor, Drawn]:
        return tensor - (grad + tensor * self.weight_decay) * state.scale * lr, state


def test_only_the_states_that_are_stepped_with_take_draws_of_the_run() -> None:
    def draws() -> tuple[float, ...]:
        return torch.rand(()).item(), random.random(), float(np.random.rand())

    module = net()
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()
    usual = draws()
    torch.set_rng_state(generators[0])
    random.setstate(generators[1])
    np.random.set_state(generators[2])

    adaptor = Drawing().bind(module, lr=0.1)
    adaptor.param_groups[0]["weight_decay"] = 0.5
    adaptor.save_record()

    assert draws() == usual
