"""Fields that nobody touches are not read, and are kept all the same."""

import copy
import pickle
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.train import HyperState, Lazy

from .states import Config, LazyState, advance, begin_lazy, weights

torch.set_num_threads(1)


def test_lazy_fields_are_read_when_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    advance(run, 1)
    opened: list[str] = []
    from burnish.train.hyperstate import object_kind, restoring

    real = object_kind.open_object

    def counted(files: Any, file: str, name: str, *options: Any) -> Any:
        opened.append(name)
        return real(files, file, name, *options)

    monkeypatch.setattr(restoring, "open_object", counted)

    again = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    assert again.state.step == 1
    assert opened == []
    first = again.state.net
    assert opened == ["net"]
    assert again.state.net is first
    assert opened == ["net"]
    (tmp_path / "latest-step000000000001/state.other.mpk").unlink()
    with pytest.raises(FileNotFoundError, match=r"'other' is missing.*state\.other"):
        _ = again.state.other
    assert again.state.step == 1


def test_what_was_never_touched_is_carried_into_new_checkpoints(
    tmp_path: Path,
) -> None:
    run = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    advance(run, 1)
    expected = weights(run.state.other)

    again = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    advance(again, 2)
    advance(again, 3)

    assert [*vars(again.state)["_burnish_pending"]] == ["net", "other"]
    assert weights(again.state.other) == expected
    last = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    assert weights(last.state.other) == expected


def test_a_lazy_state_that_only_the_program_can_make_is_filled_whole(
    tmp_path: Path,
) -> None:
    @dataclass
    class Mixed(Lazy):
        step: int
        net: nn.Linear
        optim: torch.optim.Optimizer
        schedule: torch.optim.lr_scheduler.StepLR

    def initial(_: Config) -> Mixed:
        net = nn.Linear(2, 2)
        optim = torch.optim.SGD(net.parameters(), lr=1.0)
        return Mixed(0, net, optim, torch.optim.lr_scheduler.StepLR(optim, 1))

    def open_run() -> HyperState[Config, Mixed]:
        return HyperState.load(Config, Mixed, initial, checkpoint_dir=tmp_path)

    run = open_run()
    run.state.optim.step()
    run.state.schedule.step()
    advance(run, 1)
    schedule = open_run().state.schedule

    optim: Any = schedule.optimizer
    assert optim.param_groups[0]["lr"] == pytest.approx(0.1)
    net = [x for p in optim.param_groups[0]["params"] for x in p.flatten().tolist()]
    assert net == weights(run.state.net)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda state: pickle.loads(pickle.dumps(state))],
)
def test_a_copy_of_a_lazy_state_has_all_fields_and_takes_none(
    tmp_path: Path, copied: Any
) -> None:
    run = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    advance(run, 1)
    expected = weights(run.state.net), weights(run.state.other)
    again = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)

    other = copied(again.state)

    for state in (again.state, other):
        assert (weights(state.net), weights(state.other)) == expected
    again.state = other
    advance(again, 2)
    last = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    assert weights(last.state.net) == weights(other.net)


@dataclass
class Counted:
    step: int = 0
    made: str = field(init=False, default="")
    best = None  # without a type it is not a field

    @cached_property
    def name(self) -> str:
        return f"step {self.step}"


def test_an_attribute_that_is_no_field_is_warned_of_once(tmp_path: Path) -> None:
    state: Any = Counted()
    run = HyperState.load(Config, Counted, lambda _: state, checkpoint_dir=tmp_path)
    state.step, state._scratch = 1, []
    assert state.name == "step 1"
    run.step()
    state.best, state.step = 0.3, 2

    with pytest.warns(RuntimeWarning, match="the state has best, but Counted declares"):
        run.step()
    state.step = 3
    run.step()
