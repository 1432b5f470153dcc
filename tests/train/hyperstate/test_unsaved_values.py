"""Values of a state that no checkpoint has are told before they are missed."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.train import HyperState, Lazy


@dataclass
class Config:
    lr: float = 0.1


@burnish.module
class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(2, 2)


@dataclass
class Meter:
    name: str
    n: int = field(init=False, default=0)
    values: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.values = []


@dataclass
class State:
    step: int
    net: Net
    body: nn.Module = field(init=False)
    both: list[Any] = field(init=False)
    twice: int = field(init=False)
    _scratch: int = field(init=False, default=0)
    meters: dict[str, Meter] = field(default_factory=dict[str, Meter])

    def __post_init__(self) -> None:
        self.body, self.both, self.twice = self.net.body, [self.net], 2 * self.step


@dataclass
class LazyState(Lazy):
    step: int
    net: Net
    seen: list[int] = field(init=False, default_factory=list[int])


@dataclass
class Counts:
    step: int = 0
    seen: int = field(init=False, default=0)
    hist: list[int] = field(init=False, default_factory=list)  # pyright: ignore[reportUnknownVariableType]  # as people write it


@dataclass
class Fading:
    step: int
    net: Net
    optim: torch.optim.Optimizer = field(init=False)
    fade: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.optim = torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9)
        self.fade = torch.ones(2)


class Bar:
    """As those of progress are: what it shows says nothing of a run."""

    n = 0

    def __repr__(self) -> str:
        return f"{self.n}/10"


@dataclass
class Tooled:
    step: int
    net: Net
    loss: nn.Module = field(init=False)
    parallel: nn.Module = field(init=False)
    bar: Bar = field(init=False)

    def __post_init__(self) -> None:
        self.loss, self.bar = nn.MSELoss(), Bar()
        self.parallel = nn.DataParallel(self.net)


class Noisy(nn.Module):
    def get_extra_state(self) -> dict[str, Any]:
        return {"seed": 1}


@dataclass
class Kept:
    step: int
    net: Net
    noise: nn.Module = field(init=False)
    norm: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.noise, self.norm = Noisy(), nn.BatchNorm1d(2)


def begun(cls: Any, state: object, folder: Path) -> Any:
    run = HyperState.load(Config, cls, lambda _: state, checkpoint_dir=folder)
    run.state.step += 1
    return run


def test_a_field_that_constructors_fill_is_told_once_it_has_changed(
    tmp_path: Path,
) -> None:
    meter = Meter("loss")
    run = begun(State, State(0, Net(), {"a": meter}), tmp_path)
    run.state._scratch = 4
    run.step()
    meter.values.append(0.5)
    run.state.twice = 8
    run.state.step += 1

    with pytest.warns(RuntimeWarning, match=r"the state's twice, meters.a.values is"):
        run.step()
    run.state.step += 1
    run.step()


def test_a_default_that_was_changed_before_the_run_is_told(tmp_path: Path) -> None:
    state = Counts()
    state.seen, state.hist = 3, [1]

    with pytest.warns(RuntimeWarning, match=r"the state's seen, hist is"):
        begun(Counts, state, tmp_path).step()


def test_objects_with_a_state_are_told_unless_records_have_them(
    tmp_path: Path,
) -> None:
    with pytest.warns(RuntimeWarning, match=r"the state's optim, fade is"):
        begun(Fading, Fading(0, Net()), tmp_path).step()


def test_a_lazy_state_stays_unread_while_it_is_looked_at(tmp_path: Path) -> None:
    begun(LazyState, LazyState(0, Net()), tmp_path).step()

    run = begun(LazyState, None, tmp_path)
    run.state.seen.append(1)
    with pytest.warns(RuntimeWarning, match=r"the state's seen is"):
        run.step()

    assert "net" not in vars(run.state)


def test_what_constructors_make_again_is_not_told(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        begun(State, State(0, Net(), {"a": Meter("b")}), tmp_path).step()
        run = begun(State, None, tmp_path)
        run.step()

    assert run.state.body is run.state.net.body


def test_tools_that_a_run_needs_no_state_of_are_not_told(tmp_path: Path) -> None:
    run = begun(Tooled, Tooled(0, Net()), tmp_path)
    run.state.bar.n += 1

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.step()


def test_modules_with_a_state_of_their_own_are_told(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match=r"the state's noise, norm is"):
        begun(Kept, Kept(0, Net()), tmp_path).step()
