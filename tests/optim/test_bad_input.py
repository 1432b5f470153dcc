"""What users get wrong: a clear error or the documented behaviour, nothing changed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish.optim as optim
from burnish.optim import (
    ASGD,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Adan,
    Group,
    Muon,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
    ScheduleFreeAdamW,
    SimpleOptimizer,
)
from burnish.records import Record

from .nets import drive, layers, same, values

OUT_OF_RANGE: list[Callable[[], Any]] = [
    lambda: AdamW(betas=(1.0, 0.9)),
    lambda: AdamW(betas=(0.9, -0.1)),
    lambda: AdamW(eps=-1.0),
    lambda: AdamW(weight_decay=-0.1),
    lambda: AdamW(betas=(0.9, float("nan"))),
    lambda: Adam(betas=(0.9,)),  # type: ignore[arg-type]  # the point
    lambda: Adan(betas=(0.9, 0.9)),  # type: ignore[arg-type]  # the point
    lambda: SGD(momentum=-0.1),
    lambda: SGD(nesterov=True),
    lambda: Adagrad(lr_decay=-1.0),
    lambda: RMSprop(alpha=-1.0),
    lambda: Adafactor(beta2_decay=0.5),
    lambda: Adafactor(d=0.5),
    lambda: NAdam(momentum_decay=-0.1),
    lambda: RAdam(betas=(0.9, 1.0)),
    lambda: Adamax(eps=-1.0),
    lambda: Adadelta(rho=1.5),
    lambda: Adadelta(rho=-0.5),
    lambda: ASGD(lambd=-1.0),
    lambda: ASGD(weight_decay=-1.0),
    lambda: Rprop(etas=(1.2, 0.5)),
    lambda: Rprop(step_sizes=(1.0, 0.5)),
    lambda: Muon(ns_steps=100),
    lambda: Muon(adjust_lr_fn="other"),
    lambda: ScheduleFreeAdamW(betas=(0.0, 0.9)),
    lambda: AdamW().bind(layers(), lr=-1.0),
    lambda: AdamW().bind(layers(), lr=float("nan")),
    lambda: AdamW().bind(layers(), lr=1.0, nonfinite="ignore"),
    lambda: AdamW().bind(layers(), lr=1.0, state_dtype=torch.int8),
    lambda: AdamW().bind(nn.ReLU(), lr=1.0),
]


@pytest.mark.parametrize("number", range(len(OUT_OF_RANGE)))
def test_values_out_of_range_are_refused_at_once(number: int) -> None:
    with pytest.raises(ValueError, match=r"must be|needs|nonfinite|no floating"):
        OUT_OF_RANGE[number]()


def test_a_step_before_any_backward_changes_nothing() -> None:
    net = layers()
    adaptor = AdamW().bind(net, lr=1e-2)
    before = values(net)

    adaptor.step()

    assert same(before, net)
    assert not adaptor.state


def test_names_are_sorted_and_all_there() -> None:
    assert optim.__all__ == sorted(optim.__all__)
    assert all(getattr(optim, name) is not None for name in optim.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Adamm'"):
        optim.Adamm  # type: ignore[attr-defined]  # noqa: B018  # the point


def test_a_state_may_hold_what_no_engine_takes() -> None:
    class History(Record):
        grads: list[Tensor]
        note: str

    class Remembering(SimpleOptimizer[History]):
        def init(self, tensor: Tensor) -> History:
            return History([], "begun")

        def step(
            self, lr: float, tensor: Tensor, grad: Tensor, state: History
        ) -> tuple[Tensor, History]:
            grads = [*state.grads[-1:], grad]
            return tensor - lr * sum(grads), History(grads, "going")  # type: ignore[operator]  # sum of tensors

    net = layers()
    adaptor = Remembering().bind(net, lr=1e-2)
    drive(adaptor, net, 1, 2, 3)

    kept = adaptor.state[net[0].weight]["grads"]
    again = Remembering().bind(net, lr=1e-2)
    again.load_record(adaptor.save_record())

    assert len(kept) == 2
    assert kept[1] is not net[0].weight.grad
    assert torch.equal(again.state[net[0].weight]["grads"][1], kept[1])


def test_one_group_and_one_schedule_without_a_list_are_told() -> None:
    one: Any = Group("**.bias", weight_decay=0.0)
    schedule: Any = optim.schedulers.Cosine(1e-3, 100)

    with pytest.raises(TypeError, match=r"groups=\[Group\(...\)\]"):
        AdamW().bind(layers(), lr=1e-3, groups=one)
    for composed in (
        lambda: optim.schedulers.Warmup(schedule, 10),
        lambda: optim.schedulers.Sequential(schedule, [3]),
    ):
        with pytest.raises(TypeError, match="takes a list of schedules"):
            composed()


def test_an_optimizer_whose_groups_were_taken_away_says_so_when_it_is_saved() -> None:
    adaptor = SGD().bind(layers(), lr=0.1)
    adaptor.param_groups.clear()

    with pytest.raises(ValueError, match=r"no groups.*add one: .*add_param_group"):
        adaptor.save_record()
