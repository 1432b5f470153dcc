"""Curves against torch's trajectories."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as torchs

from burnish.optim.schedulers import (
    Composed,
    Constant,
    Cosine,
    Curve,
    Exponential,
    Linear,
    Scheduler,
    Sequential,
    Step,
    Warmup,
)

PAIRS: dict[str, tuple[Scheduler, Callable[[Any], Any]]] = {
    "constant": (Constant(0.1), lambda o: torchs.ConstantLR(o, factor=1.0)),
    "linear": (Linear(0.1, 0.02, 10), lambda o: torchs.LinearLR(o, 1.0, 0.2, 10)),
    "cosine": (Cosine(0.1, 10, 0.01), lambda o: torchs.CosineAnnealingLR(o, 10, 0.01)),
    "exponential": (Exponential(0.1, 0.9), lambda o: torchs.ExponentialLR(o, 0.9)),
    "step": (Step(0.1, 3, 0.5), lambda o: torchs.StepLR(o, 3, 0.5)),
    "warm-up": (
        Warmup([Cosine(0.1, 8)], n_warmup=4, start_factor=0.25),
        lambda o: torchs.SequentialLR(
            o, [torchs.LinearLR(o, 0.25, 1.0, 4), torchs.CosineAnnealingLR(o, 8)], [4]
        ),
    ),
    "product": (
        Composed([Exponential(0.1, 0.9), Linear(1.0, 0.5, 5)]),
        lambda o: torchs.ChainedScheduler(
            [torchs.ExponentialLR(o, 0.9), torchs.LinearLR(o, 1.0, 0.5, 5)]
        ),
    ),
    "sequential": (
        Sequential([Constant(0.1), Step(0.1, 2)], [3]),
        lambda o: torchs.SequentialLR(
            o, [torchs.ConstantLR(o, 1.0), torchs.StepLR(o, 2)], [3]
        ),
    ),
}


# Older torch advances its own schedules in the way that it warns of.
@pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning")
@pytest.mark.parametrize("name", PAIRS)
def test_schedules_give_torchs_trajectories_also_when_resumed(name: str) -> None:
    ours, made = PAIRS[name]
    ours = type(ours).load(ours.save())  # type: ignore[arg-type]  # bytes, since no file was given
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = made(optimizer)

    for _ in range(10):
        assert ours.step() == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        theirs.step()
        ours = type(ours).load(ours.save())  # type: ignore[arg-type]  # bytes, since no file was given


def test_a_schedule_of_a_configuration_becomes_a_learning_rate() -> None:
    made = Curve("step: 1.0@0 lin 0.5@10")

    assert [made.step() for _ in range(3)] == pytest.approx([1.0, 0.95, 0.9])
    with pytest.raises(ValueError, match="quite wrong"):
        Curve("quite wrong")


def test_a_line_ends_at_its_final_rate_however_small_that_is() -> None:
    rates = [Linear(1e-3, 1e-20, 7).at(step) for step in (0, 7, 8)]

    # 1e-3 + (1e-20 - 1e-3) is 0, at which nothing is learned any more.
    assert rates == [1e-3, 1e-20, 1e-20]


def test_a_curve_below_zero_is_no_learning_rate() -> None:
    with pytest.raises(ValueError, match=r"at least 0, but 'step: .*' goes to -0\.5"):
        Curve("step: 1@0 lin -0.5@10")
