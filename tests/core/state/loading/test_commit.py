"""Ctrl-C while a module is filled: it is as it was, or as it was to be."""

import gc
import os
import signal
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.core.persistence import loading
from burnish.core.state.loading import commit
from burnish.records import RecordMismatchError


class Stateful(nn.Module):
    """Extra state that may be interrupted when it is set."""

    def __init__(self, value: float, *, name: str = "a") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), value))
        self.told: Any = {name: value}
        self.interrupt: BaseException | None = None

    def get_extra_state(self) -> Any:
        return self.told

    def set_extra_state(self, state: Any) -> None:
        self.told = state
        if self.interrupt is not None:
            interrupt, self.interrupt = self.interrupt, None
            raise interrupt


def net(value: float) -> nn.Sequential:
    return nn.Sequential(Stateful(value), Stateful(value))


def told(module: nn.Sequential) -> list[Any]:
    ids = [m.__dict__.get("_burnish_ids") for m in module]
    inner: list[Any] = [*module]
    return [[m.weight.tolist(), m.told] for m in inner] + ids


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(), ValueError()])
@pytest.mark.parametrize("index", [0, 1])
def test_extra_state_that_is_interrupted_is_taken_back_everywhere(
    index: int, interrupt: BaseException
) -> None:
    data = burnish.save_record(net(2.0))
    target = net(1.0)
    before = told(target)
    setattr(target[index], "interrupt", interrupt)  # noqa: B010  # torch types a child's attributes

    with pytest.raises((KeyboardInterrupt, SystemExit, RecordMismatchError)):
        burnish.load_record(target, data)

    assert told(target) == before


def test_ctrl_c_between_extra_state_and_tensors_takes_the_extra_state_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = burnish.save_record(net(2.0))
    target = net(1.0)
    second: Any = target[1]
    second.weight.data = second.weight.data.double()
    before = told(target)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commit, "_undo_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        burnish.load_record(target, burnish.open_record(data, dtype=torch.float16))

    assert told(target) == before
    assert second.weight.dtype is torch.float64


def test_ctrl_c_while_values_are_copied_comes_after_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, target = net(2.0), net(1.0)
    data = burnish.save_record(source)
    real: Any = vars(commit)["_copy_ordinary"]

    def pressed(*args: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        real(*args)

    monkeypatch.setattr(commit, "_copy_ordinary", pressed)
    with pytest.raises(KeyboardInterrupt):
        burnish.load_record(target, data)

    assert told(target) == told(source)
    assert gc.isenabled()


def test_ctrl_c_while_ids_are_given_takes_everything_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = net(1.0)
    data = burnish.save_record(net(2.0))
    before = told(target)
    real: Any = vars(loading)["adopt"]

    def pressed(*args: Any) -> None:
        real(*args)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loading, "adopt", pressed)
    with pytest.raises(KeyboardInterrupt):
        burnish.load_record(target, data)

    assert told(target) == before
