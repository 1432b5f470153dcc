"""Hyperparameters as keys of groups, driven by schedules."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as schedules

from burnish.optim import (
    SGD,
    AdamW,
    SimpleOptimizer,
)

from ..nets import (
    Net,
    UserAdamW,
    backward,
    distance,
    drive,
    layers,
    same,
    set_grads,
    values,
)


def test_a_hyperparameter_that_a_schedule_drives_out_of_range_is_refused() -> None:
    net = layers()
    adaptor = AdamW().bind(net, lr=1e-2)
    adaptor.param_groups[0]["betas"] = (1.5, 0.9)
    set_grads(net, 1)
    before = values(net)

    with pytest.raises(ValueError, match=r"betas\[0\]"):
        adaptor.step()

    assert same(before, net)


def test_a_hyperparameter_that_is_changed_in_place_is_that_of_the_next_step() -> None:
    net, peer = layers(), layers()
    ours = AdamW().bind(net, lr=1e-2)
    theirs = torch.optim.AdamW(peer.parameters(), lr=1e-2, foreach=False)
    for optimizer, module in ((ours, net), (theirs, peer)):
        betas = optimizer.param_groups[0]["betas"] = [0.9, 0.99]
        drive(optimizer, module, 1)
        betas[0] = 0.5
        drive(optimizer, module, 2)

    assert distance(net, peer) <= 1e-6


def test_a_list_that_is_changed_in_a_group_is_not_that_of_another_optimizer() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Scaled(SimpleOptimizer[None]):
        scales: list[float]

    shared = Scaled(scales=[1.0])
    first, second = (shared.bind(layers(), lr=1e-2) for _ in "ab")

    first.param_groups[0]["scales"][0] = 5.0

    assert second.param_groups[0]["scales"] == shared.scales == [1.0]


def test_a_default_that_is_no_data_is_none_that_somebody_gave() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Hooked(SimpleOptimizer[None]):
        hooks: tuple[Any, ...] = (len,)

    Hooked().bind(
        layers(), lr=1e-2
    ).save_record()  # a warning is an error in these tests


def test_a_hyperparameter_that_param_groups_use_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Own(SimpleOptimizer[None]):
        lr: float = 0.1

    with pytest.raises(TypeError, match=r"'lr'.*rename"):
        Own().bind(layers(), lr=1.0)


def test_momentum_that_a_schedule_cycles_reaches_betas_under_other_names() -> None:
    module = layers()
    adaptor = UserAdamW().bind(module, lr=1e-3)
    schedule = schedules.OneCycleLR(adaptor, 1e-2, total_steps=20)

    backward(module)
    adaptor.step()
    schedule.step()
    backward(module)
    adaptor.step()

    group = adaptor.param_groups[0]
    assert (group["b1"], group["b2"]) == group["betas"]
    assert group["b1"] != 0.9


def test_momentum_of_zero_may_be_cycled_in_and_out() -> None:
    left, right = Net(large=False), Net(large=False)
    ours = SGD().bind(left, lr=0.1)
    theirs = torch.optim.SGD(right.parameters(), lr=0.1, foreach=False)

    for seed, momentum in enumerate((0.0, 0.5, 0.5, 0.8)):
        for optimizer, net in ((ours, left), (theirs, right)):
            optimizer.param_groups[0]["momentum"] = momentum
            drive(optimizer, net, seed)

    assert distance(left, right) <= 1e-6


def test_what_is_no_hyperparameter_is_answered_with_the_one_that_is_near() -> None:
    new: Any = AdamW

    with pytest.raises(TypeError, match=r"AdamW has no hyperparameter 'beta'.*'betas'"):
        new(beta=(0.9, 0.99))
    with pytest.raises(TypeError, match=r"hyperparameter 'qqqqq'\. It has betas"):
        new(qqqqq=1)
