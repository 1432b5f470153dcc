"""A run of two processes goes on from what the first one reads."""

import os
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import distributed as dist

from burnish.config import ConfigError
from burnish.records import RecordError
from burnish.train import HyperState
from burnish.train.hyperstate import sent_files

from ...forked_processes import in_two_processes
from .states import (
    Config,
    LazyState,
    Scheduled,
    State,
    begin,
    begin_lazy,
    load,
    weights,
)

torch.set_num_threads(1)

SENDING: Any = sent_files
CHECKPOINT = "latest-step000000000007"


def saved(folder: Path, step: int = 7, **options: Any) -> HyperState[Config, State]:
    """Save a checkpoint of one process alone, without generators."""
    run = load(folder, rng=False, **options)
    with torch.no_grad():
        run.state.net.layer.weight.fill_(step)
    run.state.step = step
    run.save()
    return run


def of_rank(rank: int, folder: Path) -> Path:
    """Return the folder for the first process, and one that is not for the other."""
    return folder if rank == 0 else folder.parent / "nowhere" / "run"


def without_files(rank: int) -> Any:
    """Have the second process open no file at all."""
    if rank == 0:
        return mock.patch.dict({})
    refusal = mock.Mock(side_effect=PermissionError("this process reads no files"))
    return mock.patch.multiple(
        os, open=refusal, listdir=refusal, stat=refusal, mkdir=refusal
    )


def weights_of_all(run: HyperState[Any, Any]) -> list[float]:
    """Return the weights here, once they are those of the other process too."""
    own = torch.tensor(weights(run.state.net))
    both = [torch.empty_like(own) for _ in range(2)]
    dist.all_gather(both, own)
    assert torch.equal(*both)
    return own.tolist()


def test_a_process_without_any_files_goes_on_with_those_of_the_first(
    tmp_path: Path,
) -> None:
    saved(tmp_path / "run", overrides=["optim.lr=step: 0.4@0 lin 0@10", "width=4"])

    def act(rank: int) -> None:
        with without_files(rank):
            run = load(of_rank(rank, tmp_path / "run"), rng=False)

        assert run.state.step == 7
        assert run.config.optim.lr == pytest.approx(0.12)
        assert run.config.width == 4
        assert weights_of_all(run)[:16] == [7.0] * 16
        assert (
            run.state.optim.param_groups[0]["params"][0] is run.state.net.layer.weight
        )
        assert run.origin == tmp_path / "run" / CHECKPOINT
        run.state.step = 8
        run.step()

    in_two_processes(act, tmp_path / "processes")
    assert os.listdir(tmp_path / "run") == ["latest-step000000000008"]
    assert load(tmp_path / "run", rng=False).state.step == 8


def test_lazy_fields_are_read_later_by_processes_without_files(tmp_path: Path) -> None:
    def load_lazy(folder: Path) -> HyperState[Config, LazyState]:
        return HyperState.load(
            Config, LazyState, begin_lazy, checkpoint_dir=folder, rng=False
        )

    begun = load_lazy(tmp_path / "run")
    begun.step()

    def act(rank: int) -> None:
        run = load_lazy(of_rank(rank, tmp_path / "run"))
        run.state.step = 1
        run.step()
        with without_files(rank):
            assert weights_of_all(run) == weights(begun.state.net)

    in_two_processes(act, tmp_path / "processes")


def test_what_the_program_makes_itself_is_filled_on_all(tmp_path: Path) -> None:
    def begin_scheduled(config: Config) -> Scheduled:
        state = begin(config)
        schedule = torch.optim.lr_scheduler.StepLR(state.optim, 3)
        return Scheduled(0, state.net, state.optim, schedule)

    def load_scheduled(folder: Path) -> HyperState[Config, Scheduled]:
        return HyperState.load(
            Config, Scheduled, begin_scheduled, checkpoint_dir=folder, rng=False
        )

    begun = load_scheduled(tmp_path / "run")
    begun.state.scheduler.last_epoch = 5
    begun.step()

    def act(rank: int) -> None:
        run = load_scheduled(of_rank(rank, tmp_path / "run"))
        assert run.state.scheduler.last_epoch == 5
        assert weights_of_all(run) == weights(begun.state.net)

    in_two_processes(act, tmp_path / "processes")


def test_each_process_goes_on_with_its_own_random_numbers(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        run = load(tmp_path / "run")
        torch.manual_seed(rank + 5)
        run.step()
        expected = torch.rand(3)

        load(of_rank(rank, tmp_path / "run"))

        assert torch.equal(torch.rand(3), expected)
        both = [torch.empty(3) for _ in range(2)]
        dist.all_gather(both, expected)
        assert not torch.equal(*both)

    in_two_processes(act, tmp_path / "processes")
    with pytest.raises(
        RecordError, match=r"of 2 processes, expected those of 1.*\n.*rng"
    ):
        load(tmp_path / "run")
    assert load(tmp_path / "run", rng=False).state.step == 0


def damaged(run: Path) -> None:
    data = bytearray((run / "state.net.mpk").read_bytes())
    data[-3] ^= 1
    (run / "state.net.mpk").write_bytes(data)


def emptied(run: Path) -> None:
    (run / "state.ron").write_text("")


def unreadable(run: Path) -> None:
    (run / "config.ron").write_text("Config(lr:")


def missing(run: Path) -> None:
    (run / "state.net.mpk").unlink()


@pytest.mark.parametrize(
    ("change", "cls", "words"),
    [
        (damaged, RecordError, "state.net.mpk"),
        (emptied, RecordError, "an empty file"),
        (unreadable, ConfigError, "line 1"),
        (missing, FileNotFoundError, "the file of the state's 'net' is missing"),
    ],
)
def test_a_checkpoint_that_cannot_be_read_is_the_same_error_on_all(
    change: Any, cls: Any, words: str, tmp_path: Path
) -> None:
    saved(tmp_path / "run")
    change(tmp_path / "run" / CHECKPOINT)

    def act(rank: int) -> None:
        before = torch.get_rng_state()
        with pytest.raises(cls, match=words) as info:
            load(of_rank(rank, tmp_path / "run"), rng=False)

        texts: list[Any] = [None, None]
        dist.all_gather_object(texts, f"{type(info.value)} {info.value}")
        assert texts[0] == texts[1]
        assert torch.equal(torch.get_rng_state(), before)

    in_two_processes(act, tmp_path / "processes")
    assert os.listdir(tmp_path / "run") == [CHECKPOINT]


def test_an_error_while_a_file_is_sent_ends_on_all(tmp_path: Path) -> None:
    saved(tmp_path / "run")

    def act(rank: int) -> None:
        failing = mock.Mock(side_effect=OSError(5, "Input/output error", "disk"))
        with (
            mock.patch.object(SENDING, "_fill", failing),
            pytest.raises(OSError, match="Input/output error"),
        ):
            load(of_rank(rank, tmp_path / "run"), rng=False)
        assert load(of_rank(rank, tmp_path / "run"), rng=False).state.step == 7

    in_two_processes(act, tmp_path / "processes")


def test_a_state_that_fails_on_one_process_begins_on_none(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        def failing(config: Config) -> State:
            torch.rand(1)
            if rank == 1:
                raise ValueError("no memory here")
            return begin(config)

        before = torch.get_rng_state()
        with pytest.raises(ValueError, match=r"^no memory here"):
            HyperState.load(
                Config, State, failing, checkpoint_dir=tmp_path / "run", rng=False
            )
        assert torch.equal(torch.get_rng_state(), before)

    in_two_processes(act, tmp_path / "processes")
    assert not (tmp_path / "run").exists()


def test_a_save_that_fails_is_an_error_on_all(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        run = load(of_rank(rank, tmp_path / "run"), rng=False)
        run.step()
        run.state.step = 1
        if rank == 0:
            run.state.seen = [object()]  # type: ignore[list-item]  # pyright: ignore[reportAttributeAccessIssue]  # wrong on purpose

        with pytest.raises(ConfigError, match=r"seen\[0\]"):
            run.step()

    in_two_processes(act, tmp_path / "processes")
    assert os.listdir(tmp_path / "run") == ["latest-step000000000000"]


def test_no_process_sees_another_step_while_checkpoints_are_written(
    tmp_path: Path,
) -> None:
    writer = saved(tmp_path / "run")

    def act(rank: int) -> None:
        fill = SENDING._fill
        n_left = 3

        def overtaken(*args: Any) -> None:
            nonlocal n_left
            fill(*args)
            if n_left:
                # Another run saves the next step, and removes this one.
                n_left -= 1
                writer.state.step += 1
                with torch.no_grad():
                    writer.state.net.layer.weight.fill_(writer.state.step)
                with mock.patch.object(dist, "is_initialized", return_value=False):
                    writer.save()

        with mock.patch.object(SENDING, "_fill", overtaken):
            run = load(of_rank(rank, tmp_path / "run"), rng=False)
        assert run.state.step == 10
        assert weights_of_all(run)[:9] == [10.0] * 9

    in_two_processes(act, tmp_path / "processes")


def test_a_folder_that_another_replaced_is_looked_at_again(tmp_path: Path) -> None:
    saved(tmp_path / "run")
    saved(tmp_path / "other", 7)
    folder = tmp_path / "run" / CHECKPOINT

    def act(rank: int) -> None:
        opened = SENDING._open_all
        n_left = 1

        def overtaken(opened_folder: Any) -> Any:
            nonlocal n_left
            if n_left:
                n_left -= 1
                shutil.rmtree(folder)
                shutil.copytree(tmp_path / "other" / CHECKPOINT, folder)
            return opened(opened_folder)

        with mock.patch.object(SENDING, "_open_all", overtaken):
            run = HyperState.load(
                Config,
                State,
                begin,
                checkpoint_dir=of_rank(rank, tmp_path / "run"),
                rng=False,
            )
        assert run.state.step == 7

    in_two_processes(act, tmp_path / "processes")
