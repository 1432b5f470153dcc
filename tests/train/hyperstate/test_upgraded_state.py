"""A HyperState goes on with a network whose tensors a newer version splits."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from burnish import module
from burnish.config import RenameField
from burnish.core import SplitTensor
from burnish.optim import AdamW, Group, OptimizerAdaptor
from burnish.train import HyperState

NAME = "tests/upgraded_state"
RULES = [SplitTensor("kv", ["k", "v"]), RenameField("scale", "gain")]


@module(name=NAME)
class Old(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kv = nn.Parameter(torch.ones(4, 2))
        self.scale = nn.Parameter(torch.ones(3))


@dataclass
class Config:
    width: int = 3


@dataclass
class State:
    net: nn.Module
    optim: OptimizerAdaptor
    step: int = field(default=0)


def load(cls: Any, pattern: str, folder: Path) -> HyperState[Config, State]:
    def begin(config: Config) -> State:
        net = cls()
        groups = [Group(pattern, lr=0.5)]
        return State(net, AdamW().bind(net, lr=0.1, groups=groups))

    return HyperState.load(Config, State, begin, checkpoint_dir=folder)


def test_the_optimizer_is_built_again_over_the_pieces(tmp_path: Path) -> None:
    run = load(Old, "kv", tmp_path)
    for parameter in run.state.net.parameters():
        parameter.grad = torch.arange(float(parameter.numel())).view_as(parameter)
    run.state.optim.step()
    run.save()

    @module(name=NAME, version=1, upgrade_rules={0: RULES})
    class New(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.k, self.v = (nn.Parameter(torch.zeros(2, 2)) for _ in "kv")
            self.gain = nn.Parameter(torch.zeros(3))

    again = load(New, "k", tmp_path)

    old: Any = run.state.net
    net: Any = again.state.net
    optim = again.state.optim
    assert isinstance(net, New)
    assert [group["lr"] for group in optim.param_groups] == [0.1, 0.5]
    assert [len(group["params"]) for group in optim.param_groups] == [1, 2]
    moment = run.state.optim.state[old.kv]["exp_avg"]
    assert torch.equal(optim.state[net.v]["exp_avg"], moment[2:])
