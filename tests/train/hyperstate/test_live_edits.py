"""A run takes over what a person edits in its config, and goes on whatever that is."""

import os
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.config import Editable, dump, load
from burnish.config.live.history import HISTORY, read_history
from burnish.train import HyperState

from ...campaigns.injection import injected
from ...config.live.clocks import Clocks, clocks
from ...fresh_processes import FreshProcess
from ..killed import killed_everywhere
from .states import Net

__all__ = ["clocks"]

torch.set_num_threads(1)


@dataclass
class Optim:
    lr: Editable[float] = 0.1
    weight_decay: Editable[float] = 0.0
    momentum: float = 0.9


@dataclass
class Config:
    optim: Optim = field(default_factory=Optim)
    width: int = 3


@dataclass
class FixedOptim:
    """As `Optim`, whose rate is not editable any more."""

    lr: float = 0.1
    weight_decay: Editable[float] = 0.0
    momentum: float = 0.9


@dataclass
class State:
    step: int
    net: Net
    optim: torch.optim.Optimizer


Run = HyperState[Config, State]


def begin(config: Config) -> State:
    torch.manual_seed(0)
    net = Net(config.width)
    lr, momentum = config.optim.lr, config.optim.momentum
    return State(0, net, torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum))


def start(folder: Path, **options: Any) -> Run:
    run = HyperState.load(Config, State, begin, checkpoint_dir=folder, **options)
    run.bind_optimizer(
        run.state.optim, lr="optim.lr", weight_decay="optim.weight_decay"
    )
    return run


def train(run: Run, until: int, edits: "Edits", clocks: Clocks) -> None:
    """Train to the step ``until``; a person edits before some steps."""
    while run.state.step < until:
        run.state.optim.zero_grad()
        run.state.net.layer(torch.randn(4, 3)).square().sum().backward()
        run.state.optim.step()
        run.state.step += 1
        if run.state.step in edits:
            edits[run.state.step]()
        clocks.pass_by(1.0)
        run.step()


Edits = dict[int, Callable[[], object]]


def edit(folder: Path, *overrides: str) -> Callable[[], object]:
    file = folder / "config.ron"
    return lambda: dump(load(Config, file, overrides), file)


def lr_of(run: Run) -> float:
    rate: float = run.state.optim.param_groups[0]["lr"]
    return rate


def weights(run: Run) -> list[torch.Tensor]:
    return [p.detach().clone() for p in run.state.net.parameters()]


def test_an_edit_reaches_the_config_the_optimizer_and_the_checkpoint(
    tmp_path: Path, clocks: Clocks
) -> None:
    run = start(tmp_path)

    train(run, 3, {2: edit(tmp_path, "optim.lr=0.01")}, clocks)

    assert run.config.optim.lr == lr_of(run) == 0.01
    checkpoint = tmp_path / "latest-step000000000003"
    assert load(Config, checkpoint / "config.ron").optim.lr == 0.01
    assert [(e.verdict, e.step) for e in run.edits] == [("begun", 0), ("applied", 2)]
    assert read_history(checkpoint / HISTORY) == [*run.edits]


def test_the_callback_is_called_with_what_is_new(
    tmp_path: Path, clocks: Clocks
) -> None:
    calls: list[Any] = []
    run = start(tmp_path, on_edit=lambda *arguments: calls.append(arguments))

    train(run, 3, {2: edit(tmp_path, "optim.lr=0.01")}, clocks)

    [(config, changes)] = calls
    assert config.optim.lr == 0.01
    assert [str(change) for change in changes] == ["optim.lr: 0.1 -> 0.01"]


def test_what_the_callback_raises_refuses_the_edit(
    tmp_path: Path, clocks: Clocks
) -> None:
    def refuse(config: Config, changes: object) -> None:
        raise ValueError("not while the moon is full")

    run = start(tmp_path, on_edit=refuse)

    train(run, 3, {2: edit(tmp_path, "optim.lr=0.01")}, clocks)

    assert run.config.optim.lr == lr_of(run) == 0.1
    assert "moon is full" in (tmp_path / "config.ron.refused").read_text()
    assert run.state.step == 3


def test_what_a_refused_edit_bound_is_unbound_again(
    tmp_path: Path, clocks: Clocks
) -> None:
    def bind_and_refuse(config: Config, changes: object) -> None:
        run.bind_optimizer(run.state.optim, lr="optim.lr")
        raise ValueError("no")

    options: dict[str, Any] = {"checkpoint_dir": tmp_path, "on_edit": bind_and_refuse}
    run: Run = HyperState.load(Config, State, begin, **options)

    train(run, 3, {2: edit(tmp_path, "optim.lr=0.01")}, clocks)

    assert lr_of(run) == 0.1
    run.config.optim.lr = 0.5
    with pytest.warns(RuntimeWarning, match=r"optim\.lr: the program changed"):
        run.step()
    assert lr_of(run) == 0.1


@pytest.mark.parametrize("is_refused", [True, False])
def test_a_checkpoint_that_an_edit_saves_has_what_is_in_force_afterwards(
    is_refused: bool, tmp_path: Path, clocks: Clocks
) -> None:
    def save(config: Config, changes: object) -> None:
        folders.append(run.save())
        if is_refused:
            raise ValueError("no")

    folders: list[Any] = []
    run = start(tmp_path, on_edit=save, every=100)

    train(run, 3, {2: edit(tmp_path, "optim.lr=0.01")}, clocks)

    [folder] = folders
    stored_config = load(Config, folder / "config.ron")
    assert stored_config.optim.lr == lr_of(run) == (0.1 if is_refused else 0.01)
    verdicts = [e.verdict for e in read_history(folder / HISTORY)]
    assert verdicts == ["begun", "refused" if is_refused else "applied"]


def test_a_new_optimizer_in_the_place_of_a_bound_one_is_warned_of(
    tmp_path: Path, clocks: Clocks
) -> None:
    run = start(tmp_path, every=100)
    run.state.optim = torch.optim.SGD(run.state.net.parameters(), lr=0.1, momentum=0.9)

    with pytest.warns(RuntimeWarning, match="no longer in the state") as told:
        train(run, 3, {2: edit(tmp_path, "optim.lr=0.01")}, clocks)

    assert len(told) == 2  # one for each field
    run.bind_optimizer(run.state.optim, lr="optim.lr")
    assert lr_of(run) == 0.01
    train(run, 5, {4: edit(tmp_path, "optim.lr=0.02")}, clocks)
    assert lr_of(run) == 0.02


def test_a_field_that_the_program_sets_reaches_the_optimizer_with_a_warning(
    tmp_path: Path, clocks: Clocks
) -> None:
    run = start(tmp_path)
    train(run, 1, {}, clocks)
    run.config.optim.lr = 0.5

    with pytest.warns(RuntimeWarning, match=r"optim\.lr: the program changed") as told:
        train(run, 3, {}, clocks)

    assert lr_of(run) == 0.5
    assert len(told) == 1


def test_an_edit_of_a_field_that_is_editable_no_more_is_not_repeated(
    tmp_path: Path, clocks: Clocks
) -> None:
    @dataclass
    class Fixed:
        optim: FixedOptim = field(default_factory=FixedOptim)
        width: int = 3

    run = start(tmp_path, every=100)
    train(run, 3, {2: edit(tmp_path, "optim.lr=0.01")}, clocks)

    later: Any = HyperState.load(Fixed, State, begin, checkpoint_dir=tmp_path)  # type: ignore[arg-type]  # alike
    train(later, 5, {}, clocks)

    assert later.config == Fixed()
    assert "optim.lr: cannot be edited" in later.edits[-1].problem
    assert load(Fixed, tmp_path / "config.ron") == Fixed()


@pytest.mark.parametrize("on_edit", [3, lambda config: None])
def test_what_could_not_be_called_with_an_edit_is_refused_at_once(
    tmp_path: Path, on_edit: Any
) -> None:
    with pytest.raises(TypeError, match=r"on_edit must be a function of \(config, cha"):
        start(tmp_path / "run", on_edit=on_edit)

    assert not (tmp_path / "run").exists()


def test_a_value_that_the_optimizer_refuses_refuses_the_edit(
    tmp_path: Path, clocks: Clocks
) -> None:
    from burnish.optim import SGD

    run = start(tmp_path)
    optim = SGD().bind(nn.Linear(2, 1), lr=0.5)
    run.bind_optimizer(optim, lr="optim.lr", momentum="optim.weight_decay")

    train(run, 3, {2: edit(tmp_path, "optim.lr=0.2", "optim.weight_decay=-1")}, clocks)

    assert run.config.optim.weight_decay == 0.0
    assert lr_of(run) == optim.param_groups[0]["lr"] == 0.1
    assert (tmp_path / "config.ron.refused").exists()


def test_one_group_follows_after_its_optimizer_loaded_a_state_dict(
    tmp_path: Path, clocks: Clocks
) -> None:
    run = HyperState.load(Config, State, begin, checkpoint_dir=tmp_path)
    run.bind_optimizer(run.state.optim.param_groups[0], lr="optim.lr")
    run.state.optim.load_state_dict(run.state.optim.state_dict())

    train(run, 3, {2: edit(tmp_path, "optim.lr=0.2")}, clocks)

    assert lr_of(run) == 0.2


def test_a_rate_set_by_hand_is_warned_of_when_the_run_goes_on(
    tmp_path: Path, clocks: Clocks
) -> None:
    run = start(tmp_path)
    run.state.optim.param_groups[0]["lr"] = 0.05
    train(run, 1, {}, clocks)

    with pytest.warns(RuntimeWarning, match=r"the checkpoint stores 0\.05"):
        resumed = start(tmp_path)
    train(resumed, 2, {}, clocks)

    assert lr_of(resumed) == 0.1
    assert lr_of(start(tmp_path)) == 0.1


def test_a_number_takes_the_place_of_its_schedule(
    tmp_path: Path, clocks: Clocks
) -> None:
    run = start(tmp_path, overrides=["optim.lr=step: 0.1@0 lin 0.0@10"])

    train(run, 3, {}, clocks)
    assert lr_of(run) == pytest.approx(0.07)
    train(run, 5, {4: edit(tmp_path, "optim.lr=0.5")}, clocks)

    assert run.config.optim.lr == lr_of(run) == 0.5
    assert "replaces the schedule" in str(run.edits[-1])


def test_a_schedule_may_take_the_place_of_a_number(
    tmp_path: Path, clocks: Clocks
) -> None:
    run = start(tmp_path)

    train(run, 6, {4: edit(tmp_path, "optim.lr=step: 0.1@0 lin 0.0@10")}, clocks)
    assert lr_of(run) == pytest.approx(0.04)
    train(run, 8, {7: edit(tmp_path, "optim.lr=epoch: 0.1@0 lin 0.0@10")}, clocks)

    assert lr_of(run) == pytest.approx(0.02)
    assert "epoch" in (tmp_path / "config.ron.refused").read_text()


def test_a_config_without_editable_fields_has_no_file(tmp_path: Path) -> None:
    @dataclass
    class Fixed:
        width: int = 3

    @dataclass
    class Count:
        step: int

    run = HyperState.load(Fixed, Count, lambda _: Count(0), checkpoint_dir=tmp_path)
    run.step()

    assert os.listdir(tmp_path) == ["latest-step000000000000"]
    assert run.edits == ()


def test_the_words_that_began_the_run_do_not_undo_an_edit(
    tmp_path: Path, clocks: Clocks
) -> None:
    words = ["optim.lr=0.3", "optim.weight_decay=0.1"]
    run = start(tmp_path, overrides=words)
    train(run, 3, {2: edit(tmp_path, "optim.lr=0.01")}, clocks)

    again = start(tmp_path, overrides=words)
    with pytest.warns(RuntimeWarning, match=r"the config now gives lr 0\.7"):
        other = start(tmp_path, overrides=["optim.lr=0.7"])

    assert (again.config.optim.lr, again.config.optim.weight_decay) == (0.01, 0.1)
    assert lr_of(again) == 0.01
    assert other.config.optim.lr == lr_of(other) == 0.7


@pytest.mark.parametrize("every", [1, 100])
def test_a_new_word_is_not_undone_by_the_file_that_the_run_left_behind(
    tmp_path: Path, clocks: Clocks, every: int
) -> None:
    """Also where the run came to no checkpoint."""
    train(start(tmp_path, every=every, overrides=["optim.lr=0.3"]), 3, {}, clocks)

    with warnings.catch_warnings(action="ignore"):
        again = start(tmp_path, every=every, overrides=["optim.lr=0.7"])
    train(again, 6, {}, clocks)

    assert again.config.optim.lr == lr_of(again) == 0.7
    assert load(Config, tmp_path / "config.ron").optim.lr == 0.7
    assert [edit.verdict for edit in again.edits][-1] == "begun"


EDITS = {3: "optim.lr=0.03", 5: "optim.weight_decay=0.2", 8: "optim.lr=0.5"}


def edits_of(folder: Path) -> Edits:
    return {step: edit(folder, text) for step, text in EDITS.items()}


@pytest.mark.parametrize("killed_at", [3, 4, 8])
def test_a_run_that_is_resumed_meets_its_edits_at_the_same_steps(
    tmp_path: Path, clocks: Clocks, killed_at: int
) -> None:
    """To the bit, though checkpoints are three steps apart."""
    whole = start(tmp_path / "whole", every=3)
    train(whole, 11, edits_of(tmp_path / "whole"), clocks)
    killed = start(tmp_path / "run", every=3)
    train(killed, killed_at, edits_of(tmp_path / "run"), clocks)

    again = start(tmp_path / "run", every=3)
    later = {k: e for k, e in edits_of(tmp_path / "run").items() if k > killed_at}
    train(again, 11, later, clocks)

    assert again.config == whole.config
    for a, b in zip(weights(again), weights(whole), strict=True):
        assert torch.equal(a, b)
    steps = [e.step for e in again.edits if e.verdict == "applied"]
    assert steps == [*EDITS]


def test_a_kill_anywhere_in_an_edit_loses_and_doubles_nothing(
    tmp_path: Path, clocks: Clocks
) -> None:
    number = 0

    def prepare() -> Callable[[], object]:
        nonlocal number
        number += 1
        folder = tmp_path / str(number)
        run = start(folder, every=2)
        train(run, 2, {}, clocks)
        edit(folder, "optim.lr=0.03")()
        return lambda: train(run, 3, {}, clocks)

    kills: list[int] = []
    for n in killed_everywhere(prepare):
        kills.append(n)
        again = start(tmp_path / str(number), every=2)
        train(again, 4, {}, clocks)
        assert again.config.optim.lr == lr_of(again) == 0.03
        applied = [e for e in again.edits if e.verdict == "applied"]
        assert [str(e.changes[0]) for e in applied] == ["optim.lr: 0.1 -> 0.03"]
    assert len(kills) >= 4


def test_an_edit_that_is_interrupted_anywhere_is_taken_over_at_the_next_step(
    tmp_path: Path, clocks: Clocks
) -> None:
    runs: list[Run] = []

    def prepare() -> Callable[[], object]:
        folder = tmp_path / str(len(runs))
        run = start(folder, every=100)
        run.state.step = 1
        edit(folder, "optim.lr=0.03")()
        clocks.pass_by(1.0)
        runs.append(run)
        return run.step

    for place in injected(prepare, every=67):
        run = runs[-1]
        assert run.config.optim.lr == lr_of(run), place
        clocks.pass_by(1.0)
        run.step()
        assert run.config.optim.lr == lr_of(run) == 0.03, place


def test_a_state_without_a_number_is_told_before_anything_is_written(
    tmp_path: Path,
) -> None:
    @dataclass
    class Odd:
        name: str

    with pytest.raises(ValueError, match="checkpoint_key"):
        HyperState.load(Config, Odd, lambda _: Odd("a"), checkpoint_dir=tmp_path)
    assert os.listdir(tmp_path) == []


def test_two_processes_take_over_an_edit_at_the_same_step(tmp_path: Path) -> None:
    script = Path(__file__).with_name("two_editing_processes.py")
    meeting = f"file://{tmp_path / 'meeting'}"
    processes = [
        FreshProcess(script, str(rank), meeting, tmp_path / "run") for rank in (0, 1)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert [p.returncode for p in processes] == [0, 0], errors


def test_a_run_that_is_ended_from_outside_leaves_its_file(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        start(tmp_path)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)

    assert load(Config, tmp_path / "config.ron") == Config()
