"""Processes of a run are started by the first, fail together, and leave nothing."""

import os
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from burnish.train.fit import processes
from burnish.train.fit.processes import (
    CommandLauncher,
    all_processes,
    start_others_by,
)
from burnish.train.fit.sent_run import SentRun

RUN = SentRun(tree={}, folder="x", import_path=[])


class Process:
    """Stands for a child that has ended with a status, or goes on with None."""

    stdin = None

    def __init__(self, status: int | None) -> None:
        self.status, self.is_killed = status, False

    def poll(self) -> int | None:
        return self.status

    def kill(self) -> None:
        self.is_killed = True

    def wait(self) -> None:
        pass


def launcher_of(*statuses: int | None) -> Any:
    launcher: Any = CommandLauncher(LightningEnvironment(), len(statuses) + 1, RUN)
    launcher.procs = [Process(status) for status in statuses]
    return launcher


def trainer_with(launcher: object, **options: object) -> Any:
    strategy = SimpleNamespace(launcher=launcher, _launcher=launcher)
    return SimpleNamespace(strategy=strategy, world_size=2, num_nodes=1, **options)


class External(LightningEnvironment):
    """Of a program that torchrun has started, say."""

    @property
    def creates_processes_externally(self) -> bool:
        return True


def test_a_trainer_of_several_devices_starts_the_command() -> None:
    first: Any = _SubprocessScriptLauncher(LightningEnvironment(), 2, 1)
    trainer = trainer_with(first)

    start_others_by(trainer, RUN)

    assert isinstance(trainer.strategy._launcher, CommandLauncher)


@pytest.mark.parametrize(
    ("launcher", "message"),
    [
        (None, "use num_nodes=1 and strategy=ddp"),
        (_SubprocessScriptLauncher(External(), 2, 1), "without torchrun"),
    ],
)
def test_processes_that_others_start_are_refused_in_words(
    launcher: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        start_others_by(trainer_with(launcher), RUN)


def test_the_failure_of_another_process_is_told_in_place_of_its_consequence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_PATIENCE", 0.0)
    trainer = trainer_with(launcher_of(0, 2))

    message = "process 2 of 3, which ended with status 2; its error is shown above"
    with pytest.raises(ChildProcessError, match=message), all_processes(trainer):
        raise RuntimeError("connection closed by peer")


def test_a_process_that_was_killed_is_told_in_place_of_what_followed() -> None:
    trainer = trainer_with(launcher_of(None, -9))

    message = "process 2 of 3, which was killed by signal 9"
    with pytest.raises(ChildProcessError, match=message), all_processes(trainer):
        raise RuntimeError("connection closed by peer")

    assert trainer.strategy.launcher.procs[0].is_killed


def test_an_error_of_the_first_process_ends_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_PATIENCE", 0.0)
    launcher = launcher_of(None, None)

    with pytest.raises(LookupError), all_processes(trainer_with(launcher)):
        raise LookupError("of the model")

    assert [process.is_killed for process in launcher.procs] == [True, True]


def test_the_next_run_meets_nothing_of_what_was_set_for_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MASTER_PORT", "1")
    launcher = launcher_of(0)

    with all_processes(trainer_with(launcher)):
        os.environ |= {"LOCAL_RANK": "0", "MASTER_PORT": "2"}

    assert "LOCAL_RANK" not in os.environ
    assert os.environ["MASTER_PORT"] == "1"
    assert not launcher.procs[0].is_killed
