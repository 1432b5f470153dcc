"""Schedules against torch's trajectories; each is a record."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as torchs

from burnish.optim import SGD, schedulers
from burnish.optim.schedulers import (
    Composed,
    Constant,
    Cosine,
    Curve,
    Exponential,
    Linear,
    Plateau,
    Scheduler,
    Sequential,
    Step,
    Warmup,
)

from .nets import drive, layers

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


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_a_plateau_falls_when_torchs_does(mode: str, threshold_mode: Any) -> None:
    options: Any = {"mode": mode, "threshold_mode": threshold_mode, "patience": 1}
    options |= {"cooldown": 1, "factor": 0.5, "threshold": 0.05}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = torchs.ReduceLROnPlateau(optimizer, **options)
    ours = Plateau(0.1, **options)

    for figure in (1.0, 0.9, 0.89, 0.89, 0.95, 0.95, 0.5, 1.2, 1.3, 1.3, 1.3, 1.3):
        theirs.step(figure)
        ours.observe(figure)
        ours = Plateau.load(ours.save())  # type: ignore[arg-type]  # bytes, since no file was given

        assert ours.step() == pytest.approx(optimizer.param_groups[0]["lr"])


def test_sums_and_means_are_taken() -> None:
    parts = [Constant(0.1), Constant(0.3)]

    assert Composed(parts, "sum").step() == pytest.approx(0.4)
    assert Composed(parts, "mean").step() == pytest.approx(0.2)
    with pytest.raises(ValueError, match="'max'"):
        Composed(parts, "max")


def test_a_schedule_of_a_configuration_becomes_a_learning_rate() -> None:
    made = Curve("step: 1.0@0 lin 0.5@10")

    assert [made.step() for _ in range(3)] == pytest.approx([1.0, 0.95, 0.9])
    with pytest.raises(ValueError, match="quite wrong"):
        Curve("quite wrong")


def test_a_state_dict_of_another_schedule_is_refused() -> None:
    made = Cosine(0.1, 10)
    made.step()

    again = Cosine(0.2, 5)
    again.load_state_dict(made.state_dict())

    assert again.lr() == made.lr()
    with pytest.raises(ValueError, match=r"Cosine.*Constant"):
        Constant(0.1).load_state_dict(made.state_dict())
    with pytest.raises(ValueError, match=r"'Cosin'.*Cosine"):
        made.load_state_dict({**made.state_dict(), "kind": "Cosin"})


def test_names_of_schedules_are_sorted() -> None:
    assert schedulers.__all__ == sorted(schedulers.__all__)


def test_a_rate_set_by_hand_under_a_schedule_is_warned_of() -> None:
    net = layers()
    optim = SGD().bind(net, lr=Cosine(0.1, 10))
    optim.param_groups[0]["lr"] = 1e-5  # as a learning-rate finder does

    with pytest.warns(RuntimeWarning, match=r"set to 1e-05.*\(Cosine\).*finder"):
        drive(optim, net, 1)

    assert optim.param_groups[0]["lr"] == 0.1


def test_a_finder_sets_the_rates_where_the_schedule_is_taken_away() -> None:
    net = layers()
    optim = SGD().bind(net, lr=Cosine(0.1, 10))
    optim.param_groups[0]["schedule"] = None

    for rate in (1e-5, 1e-3):
        optim.param_groups[0]["lr"] = rate
        drive(optim, net, 1)

        assert optim.param_groups[0]["lr"] == rate


@pytest.mark.parametrize("through", ["record", "state_dict"])
def test_what_a_load_does_to_the_rate_is_not_by_hand(through: str) -> None:
    net = layers()
    optim, other = (SGD().bind(net, lr=Cosine(0.1, 10)) for _ in "ab")
    drive(optim, net, 1, 2)
    drive(other, net, 1)

    if through == "record":
        other.load_record(optim.save_record(), hyperparameters="restore")
    else:
        other.load_state_dict(optim.state_dict())
    drive(other, net, 3)  # a warning is an error in these tests

    assert other.param_groups[0]["lr"] == Cosine(0.1, 10).at(2)
