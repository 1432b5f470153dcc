"""Which engine takes a step follows from the optimizer and its numbers."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.optim import (
    SGD,
    AdamW,
    ClipGlobalNorm,
    ClipNorm,
    ClipValue,
    SimpleOptimizer,
    engine_report,
)

from ..late_gradients import net, resumed, steps
from ..nets import (
    Net,
    UserAdamW,
    drive,
    engine_names,
    equal,
    plist,
)
from ..steppers import REFUSED, Stepping


@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize("name", REFUSED)
def test_steps_that_are_not_elementwise_run_as_they_are_written(
    name: str, fused: bool | None
) -> None:
    step, why = REFUSED[name]
    # These read values that an empty tensor does not have.
    left, right = (plist(torch.ones(3, 2), torch.full((4,), 2.0)) for _ in "ab")
    engine = Stepping(fn=step).bind(left, lr=0.1, fused=fused)
    loop = Stepping(fn=step).bind(right, lr=0.1, fused=False)

    drive(engine, left, 1, 2)
    drive(loop, right, 1, 2)

    assert {row.engine for row in engine_report(engine)} == {"loop"}
    assert why in engine_report(engine)[0].why
    assert equal(left, right)


def test_a_report_before_the_first_step_says_what_it_will_run_on() -> None:
    module = Net()
    adaptors = [UserAdamW().bind(module, lr=0.1, fused=f) for f in (None, True, False)]

    before = [engine_names(adaptor) for adaptor in adaptors]

    assert before == [{"blocks"}, {"compiled"}, {"loop"}]
    assert "6 parameters" in repr(engine_report(AdamW().bind(Net(large=False), lr=1)))
    assert not adaptors[0].state


def test_shipped_optimizers_with_a_kernel_of_torch_run_on_it() -> None:
    for simple in (AdamW(), SGD(momentum=0.9)):
        assert engine_names(simple.bind(Net(), lr=0.1)) == {"torch_fused"}


def test_a_subclass_of_a_shipped_optimizer_is_stepped_by_its_own_step() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Still(AdamW):
        def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Any) -> Any:
            return tensor, state

    module = Net(large=False)
    before = module.a.detach().clone()

    drive(Still().bind(module, lr=1.0), module, 1)

    assert torch.equal(module.a, before)


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


def test_a_hyperparameter_that_no_kernel_does_changes_the_engine_for_a_time() -> None:
    module = net()
    adaptor = SGD(momentum=0.9, nesterov=True).bind(module, lr=0.01)
    engines: list[set[str]] = []
    for dampening in (0.0, 0.5, 0.5, 0.0):
        adaptor.param_groups[0]["dampening"] = dampening
        steps(module, adaptor, lambda step, i: 1.0, 1)
        engines.append(engine_names(adaptor))

    assert engines == [{"torch_fused"}, {"blocks"}, {"blocks"}, {"torch_fused"}]
