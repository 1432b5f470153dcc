"""States of torch's optimizers come back in the dtypes that they were saved in."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.records import RecordMismatchError
from burnish.train import Checkpoints, HyperState


class Precise(torch.optim.Optimizer):
    """A user's optimizer: its momentum is float32, whatever its parameters are."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for param in group["params"]:
                state = self.state[param]
                if not state:
                    state["momentum"] = torch.zeros(param.shape)
                state["momentum"].mul_(0.9).add_(param.grad.float())
                param.data.add_(state["momentum"], alpha=-group["lr"])


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "NAdam": torch.optim.NAdam,
    "ASGD": lambda params: torch.optim.ASGD(params, lr=0.1, t0=0),
    "a user's": Precise,
}
DTYPES = [torch.bfloat16, torch.float64]


def new_net(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1)).to(dtype)


def train(net: nn.Module, optim: torch.optim.Optimizer, n_steps: int) -> None:
    for step in range(n_steps):
        optim.zero_grad()
        x = torch.arange(12.0).reshape(3, 4).add(step).sin()
        net(x.to(next(net.parameters()).dtype)).square().sum().backward()
        optim.step()


def dtypes_of(optim: torch.optim.Optimizer) -> list[dict[str, torch.dtype]]:
    return [
        {key: value.dtype for key, value in state.items() if isinstance(value, Tensor)}
        for state in optim.state.values()
    ]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("has_module", [True, False])
def test_a_resumed_run_takes_the_same_steps(
    name: str, dtype: torch.dtype, has_module: bool, tmp_path: Path
) -> None:
    net = new_net(dtype)
    optim = OPTIMIZERS[name](net.parameters())
    train(net, optim, 3)
    parts: dict[str, Any] = {"net": net} if has_module else {}
    Checkpoints(tmp_path).save(3, optim=optim, **parts)

    again = new_net(dtype)
    again.load_state_dict(net.state_dict())
    resumed = OPTIMIZERS[name](again.parameters())
    parts = {"net": again} if has_module else {}
    Checkpoints(tmp_path).restore(optim=resumed, **parts)

    assert dtypes_of(resumed) == dtypes_of(optim)
    train(net, optim, 3)
    train(again, resumed, 3)
    pairs = zip(net.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restore_that_fails_leaves_every_state_as_it_was(
    name: str, tmp_path: Path
) -> None:
    net = new_net(torch.bfloat16)
    optim = OPTIMIZERS[name](net.parameters())
    train(net, optim, 2)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, optim=optim, other=nn.Linear(2, 2))
    dtypes = dtypes_of(optim)

    with pytest.raises(RecordMismatchError):
        checkpoints.restore(optim=optim, other=nn.Linear(3, 3))

    assert dtypes_of(optim) == dtypes


def test_parameters_of_another_dtype_have_states_as_torch_loads_them(
    tmp_path: Path,
) -> None:
    net = new_net(torch.bfloat16)
    optim = torch.optim.NAdam(net.parameters())
    train(net, optim, 2)
    Checkpoints(tmp_path).save(2, optim=optim)
    whole, theirs = new_net(torch.float32), new_net(torch.float32)
    resumed = torch.optim.NAdam(whole.parameters())
    expected = torch.optim.NAdam(theirs.parameters())

    Checkpoints(tmp_path).restore(optim=resumed)
    expected.load_state_dict(optim.state_dict())

    assert dtypes_of(resumed) == dtypes_of(expected)
    train(whole, resumed, 1)


@burnish.module
class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1).double()

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layer(x)
        return output


@dataclass
class Config:
    lr: float = 0.1


@dataclass
class State:
    step: int
    net: Net
    optim: torch.optim.Optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_of_a_run_has_an_optimizer_of_the_same_dtypes(
    name: str, tmp_path: Path
) -> None:
    def begin(config: Config) -> State:
        torch.manual_seed(0)
        net = Net()
        return State(0, net, OPTIMIZERS[name](net.parameters()))

    run = HyperState.load(Config, State, begin, checkpoint_dir=tmp_path)
    train(run.state.net, run.state.optim, 3)
    run.save()

    again = HyperState.load(Config, State, begin, checkpoint_dir=tmp_path)

    assert dtypes_of(again.state.optim) == dtypes_of(run.state.optim)
    for each in (run, again):
        train(each.state.net, each.state.optim, 3)
    assert torch.equal(again.state.net.layer.weight, run.state.net.layer.weight)
