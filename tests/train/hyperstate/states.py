"""States, their configs, and the runs that advance them."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from burnish import module
from burnish.train import HyperState, Lazy, Serializable


class Mode(Enum):
    FAST = "fast"
    EXACT = "exact"


@dataclass
class Optim:
    lr: float = 0.1
    n_warm: int = 3


@dataclass
class Config:
    optim: Optim = field(default_factory=Optim)
    width: int = 3
    mode: Mode = Mode.FAST


@module
class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)


@dataclass
class State:
    step: int
    net: Net
    optim: torch.optim.Optimizer
    mode: Mode = Mode.EXACT
    seen: list[int] = field(default_factory=list[int])


@dataclass
class LazyState(Lazy):
    step: int
    net: Net
    other: Net


calls: list[Any] = []


def begin(config: Config) -> State:
    calls.append(config)
    net = Net(config.width)
    return State(0, net, torch.optim.Adam(net.parameters(), lr=config.optim.lr))


def begin_lazy(config: Config) -> LazyState:
    return LazyState(0, Net(config.width), Net(config.width))


def load(folder: Path | str, **options: Any) -> HyperState[Config, State]:
    return HyperState.load(Config, State, begin, checkpoint_dir=folder, **options)


def advance(run: HyperState[Any, Any], step: int) -> None:
    run.state.step = step
    run.step()


def weights(module: nn.Module) -> list[float]:
    return [float(x) for p in module.parameters() for x in p.detach().flatten()]


def train(state: State, n_steps: int) -> None:
    for _ in range(n_steps):
        state.optim.zero_grad()
        state.net.layer(torch.randn(4, 3)).square().sum().backward()
        state.optim.step()
        state.step += 1


@dataclass
class Scheduled:
    step: int
    net: Net
    optim: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.StepLR


class Old(Serializable):
    def __init__(self, number: int) -> None:
        self.number = number

    def serialize(self) -> Any:
        return {"number": np.array([self.number])}

    @classmethod
    def deserialize(cls, data: Any, ctx: Any) -> "Old":
        return cls(int(data["number"][0]) + ctx["config"].width)


@dataclass
class Policy(Lazy):
    net: Net
    n_seen: int


@dataclass
class Actor:
    policy: Policy
    optim: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.StepLR | None = None


@dataclass
class Nested(Lazy):
    step: int
    actors: dict[str, Actor]
