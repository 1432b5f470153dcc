"""The advice of errors names options of the calls that it names, whoever was called."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.optim import AdamW, OptimizerAdaptor
from burnish.records import RecordError, Url
from burnish.train import Checkpoints, HyperState

CALLS: dict[str, Callable[..., Any]] = {
    "open_record": burnish.open_record,
    "load_record": burnish.load_record,
    "from_record": burnish.from_record,
    "optimizer.load_record": OptimizerAdaptor.load_record,
    "checkpoints.restore": Checkpoints.restore,
    "restore": Checkpoints.restore,
    "HyperState.load": HyperState.load,
}


@burnish.module
class Net(nn.Module):
    def __init__(self, width: int = 4, act: str = "relu") -> None:
        super().__init__()
        self.act = act
        self.a, self.b = nn.Linear(4, width), nn.Linear(width, 4)


@burnish.module
class Other(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Linear(4, 4)


@burnish.module
class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight


@burnish.module
class Empty(nn.Module):
    pass


MODULES: dict[str, Callable[[], nn.Module]] = {
    "another shape": lambda: Net(5),
    "another argument": lambda: Net(4, "gelu"),
    "other names": Other,
    "other names, undecorated": lambda: nn.Sequential(nn.Linear(4, 4)),
    "a part": lambda: Net().a,
    "a whole": lambda: nn.Sequential(Net()),
    "tied": Tied,
}


@dataclass
class Config:
    width: int = 4


@dataclass
class State:
    model: nn.Module


def optimizer(module: nn.Module) -> OptimizerAdaptor:
    return AdamW().bind(module, lr=0.1)


def stepped(module: nn.Module) -> OptimizerAdaptor:
    optim = optimizer(module)
    for param in module.parameters():
        param.grad = torch.ones_like(param)
    optim.step()
    return optim


def hyperstate(folder: Path | Url, make: Callable[[], nn.Module]) -> object:
    """Go on with a run whose program makes another model than it did."""
    for factory in (Net, make):
        run = HyperState.load(
            Config,
            State,
            lambda _, factory=factory: State(factory()),
            checkpoint_dir=folder / "state",
            overrides=[],
        )
        run.save()
    return run.state.model


def saved(folder: Path) -> Checkpoints:
    checkpoints, net = Checkpoints(folder / "run"), Net()
    checkpoints.save(1, model=net, optim=stepped(net))
    return checkpoints


VERBS: dict[str, Callable[[Checkpoints, Any], object]] = {
    "restore": lambda c, make: c.restore(model=make()),
    "load_record": lambda c, make: burnish.load_record(make(), c[1].file("model")),
    "from_record": lambda c, make: burnish.from_record(make, c[1].file("model")),
    "restore of an optimizer from a module": lambda c, make: c.restore(
        model=optimizer(make())
    ),
    "HyperState": lambda c, make: hyperstate(c.folder, make),
    "restore of an optimizer": lambda c, make: c.restore(optim=optimizer(make())),
    "load_record of an optimizer": lambda c, make: optimizer(make()).load_record(
        c[1].file("optim")
    ),
    "restore of a module from an optimizer": lambda c, make: c.restore(optim=make()),
    "load_record of a module from an optimizer": lambda c, make: burnish.load_record(
        make(), c[1].file("optim")
    ),
}

_CALL = re.compile(r"([\w.]+)\(((?:[^()]|\([^()]*\))*)\)")
_PASS = re.compile(
    r"\bpass ((?:\.{3}|[^.\n])+?) to ((?:[\w.]+(?:, | or ))*[a-z_.]*[a-z_])\."
)
_OPTION = re.compile(r"\b([a-z_]+)=")


def advised_options(text: str) -> Iterator[tuple[str, str]]:
    """Yield each option that ``text`` names, beside the call that it is said of."""
    found = [(takers, options) for options, takers in _PASS.findall(text)]
    text = _PASS.sub("", text)
    for takers, options in [*found, *_CALL.findall(text)]:
        for taker in re.split(", | or ", takers):
            yield from ((taker, option) for option in _OPTION.findall(options))
    text = _CALL.sub("", text)
    yield from (("nobody", option) for option in _OPTION.findall(text))


@pytest.mark.parametrize("misfit", MODULES)
@pytest.mark.parametrize("verb", VERBS)
def test_an_option_that_an_error_advises_belongs_to_the_call_that_it_names(
    tmp_path: Path, verb: str, misfit: str
) -> None:
    checkpoints = saved(tmp_path)

    options: list[tuple[str, str]] = []
    try:
        VERBS[verb](checkpoints, MODULES[misfit])
    except (RecordError, TypeError) as error:
        options = [*advised_options(str(error))]

    for name, option in options:
        taker = CALLS.get(name.removeprefix("burnish."))
        assert taker is not None, f"{option}= is said of {name}"
        assert option in inspect.signature(taker).parameters, f"{name}({option}=)"
