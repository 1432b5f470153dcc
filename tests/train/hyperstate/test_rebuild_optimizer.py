"""An optimizer of a resumed state is the one that was saved, with all it was told."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish import module
from burnish.config import RenameField, Schedule
from burnish.config.schedule import scheduled
from burnish.optim import SGD, AdamW, Group, OptimizerAdaptor, SimpleOptimizer
from burnish.optim.schedulers import Cosine, Linear, Scheduler, Warmup
from burnish.train import HyperState


@dataclass
class Config:
    width: int = 3


@module
class Net(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.last = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.first(x).tanh())
        return result


@dataclass
class State:
    step: int
    net: Net
    optim: OptimizerAdaptor


class Sign(Enum):
    DOWN = 1
    UP = -1


@dataclass(frozen=True, kw_only=True)
class Signed(SimpleOptimizer[None]):
    """Has hyperparameters that no record holds."""

    sign: Sign = Sign.DOWN
    shape: Callable[[Tensor], Tensor] = torch.sign

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
        return tensor - self.shape(grad) * (lr * self.sign.value), None


def namesake() -> type[SimpleOptimizer[Any]]:
    """Return a user's class of the same name as ours."""

    @dataclass(frozen=True, kw_only=True)
    class AdamW(SimpleOptimizer[None]):
        weight_decay: float = 0.5

        def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
            return tensor * (1 - lr * self.weight_decay) - grad.sign() * lr, None

    return AdamW


Namesake = namesake()


def warmup() -> Scheduler:
    return Warmup([Cosine(0.1, 20)], n_warmup=4)


def scheduled_groups(net: Net) -> OptimizerAdaptor:
    shared = Linear(0.2, 0.01, 12)
    groups = [Group("first.**", lr=shared), Group("last.bias", lr=shared)]
    return SGD(momentum=0.9).bind(net, lr=warmup(), groups=groups)


CONFIG_RATE = scheduled(Schedule.parse("step: 0.1@0 lin 0.0@100"), float, 0.1)

OPTIMIZERS: dict[str, Callable[[Net], OptimizerAdaptor]] = {
    "a schedule": lambda net: AdamW().bind(net, lr=warmup()),
    "a number that follows a schedule": lambda net: AdamW().bind(net, lr=CONFIG_RATE),
    "schedules of groups": scheduled_groups,
    "an Enum and a function": lambda net: Signed(sign=Sign.UP, shape=torch.tanh).bind(
        net, lr=0.01
    ),
    "of the name of ours": lambda net: Namesake(weight_decay=0.25).bind(net, lr=0.01),
}


def train(state: State, n_steps: int) -> None:
    for _ in range(n_steps):
        state.step += 1
        x = torch.sin(torch.arange(12.0).reshape(4, 3) + state.step)
        state.optim.zero_grad()
        state.net(x).square().sum().backward()
        state.optim.step()


def load(name: str, folder: Path) -> HyperState[Config, State]:
    def begin(config: Config) -> State:
        torch.manual_seed(0)
        net = Net(config.width)
        return State(0, net, OPTIMIZERS[name](net))

    return HyperState.load(Config, State, begin, checkpoint_dir=folder)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_state_steps_on_as_the_uninterrupted_one(
    name: str, tmp_path: Path
) -> None:
    whole = load(name, tmp_path / "whole")
    train(whole.state, 7)
    half = load(name, tmp_path / "half")
    train(half.state, 3)
    half.save()

    again = load(name, tmp_path / "half")
    train(again.state, 4)

    pairs = zip(whole.state.net.parameters(), again.state.net.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    kinds = [
        [type(group["optimizer"]) for group in run.state.optim.param_groups]
        for run in (whole, again)
    ]
    assert kinds[0] == kinds[1]


def test_groups_that_share_a_schedule_share_it_when_they_are_resumed(
    tmp_path: Path,
) -> None:
    run = load("schedules of groups", tmp_path)
    run.save()

    again = load("schedules of groups", tmp_path)

    schedules = [group["schedule"] for group in again.state.optim.param_groups]
    assert schedules[1] is schedules[2]
    assert schedules[0] is not schedules[1]


def test_an_optimizer_that_is_defined_nowhere_is_named_with_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load("a schedule", tmp_path)
    run.save()

    monkeypatch.setattr(
        "burnish.train.group_objects._simple_classes",
        lambda: iter([SGD]),
    )
    with pytest.raises(burnish.records.RecordMismatchError, match="adamw:AdamW"):
        load("a schedule", tmp_path)


@pytest.mark.parametrize("has_scheduler", [False, True])
def test_an_optimizer_of_torch_follows_names_that_rules_gave(
    has_scheduler: bool, tmp_path: Path
) -> None:
    """Built over the module, or filled into what `begin` makes."""

    def run_of(cls: Any) -> HyperState[Config, Any]:
        @dataclass
        class Run:
            step: int
            net: cls  # pyright: ignore[reportInvalidTypeForm]  # of this run
            optim: torch.optim.Optimizer

        @dataclass
        class Scheduled(Run):
            scheduler: torch.optim.lr_scheduler.StepLR

        def begin(config: Config) -> Run:
            net = cls(config.width)
            optim = torch.optim.Adam(net.parameters(), lr=0.1)
            if not has_scheduler:
                return Run(0, net, optim)
            return Scheduled(
                0, net, optim, torch.optim.lr_scheduler.StepLR(optim, step_size=3)
            )

        state_class = Scheduled if has_scheduler else Run
        return HyperState.load(Config, state_class, begin, checkpoint_dir=tmp_path)

    run = run_of(module(name="test/turned")(type("Turned", (Net,), {})))
    old = run.state
    old.net(torch.ones(2, 3)).square().sum().backward()
    old.optim.step()
    old.step += 1
    run.step()

    @module(
        name="test/turned",
        version=1,
        upgrade_rules={0: [RenameField("first", "x"), RenameField("last", "y")]},
    )
    class Turned(nn.Module):
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.y, self.x = nn.Linear(width, width), nn.Linear(width, width)

    new = run_of(Turned).state

    weight, stored = new.net.x.weight, old.net.first.weight
    assert torch.equal(weight, stored)
    moment = new.optim.state[weight]["exp_avg"]
    assert torch.equal(moment, old.optim.state[stored]["exp_avg"])
