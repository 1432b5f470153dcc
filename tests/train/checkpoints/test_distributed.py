"""With several processes: the same numbers, or an error in words on each."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.records import RecordMismatchError
from burnish.train import Checkpoints

from ...forked_processes import in_two_processes
from ...sharded_nets import fsdp, needs_sharding, plain_net, whole_values
from .two_processes import check_resume, check_training


@pytest.mark.filterwarnings("ignore")
def test_two_processes_train_and_resume_alike(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        check_training(rank)
        check_resume(rank, tmp_path)

    in_two_processes(act, tmp_path / "processes")


def test_a_save_that_fails_is_the_same_error_on_all_and_the_next_one_works(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        checkpoints = Checkpoints(tmp_path / "run")
        wrong: Any = object() if rank == 0 else 1.5
        with pytest.raises(TypeError, match="part"):
            checkpoints.save(1, part=[wrong])

        assert checkpoints.save(2, part=[1.5]).step == 2

    in_two_processes(act, tmp_path / "processes")
    assert Checkpoints(tmp_path / "run").steps == [2]


def test_a_process_that_keeps_its_generators_alone_is_told_and_waits_for_none(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        with pytest.raises(ValueError, match="process 1 saves with rng True, and proc"):
            Checkpoints(tmp_path / "run").save(1, part=[1.5], rng=rank == 1)

    in_two_processes(act, tmp_path / "processes")
    assert Checkpoints(tmp_path / "run").steps == []


def test_a_process_that_waits_for_a_signal_alone_is_told_and_waits_for_none(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        noted: dict[str, Any] = {} if rank else {"on_signal": signal.SIGUSR1}
        with pytest.raises(ValueError, match="1 saves with on signal None, and proc"):
            Checkpoints(tmp_path / "run", **noted).save(1, part=[1.5])

    in_two_processes(act, tmp_path / "processes")


def test_a_part_that_the_first_process_lacks_is_not_left_out_in_silence(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        parts: dict[str, Any] = {"part": [1.5]} | (
            {"own": [2], "loss": 0.5} if rank else {}
        )

        with pytest.raises(
            ValueError, match="process 1 saves own, loss, and process 0"
        ):
            Checkpoints(tmp_path / "run").save(1, **parts)

    in_two_processes(act, tmp_path / "processes")
    assert Checkpoints(tmp_path / "run").steps == []


def test_stages_of_a_pipeline_are_not_lost_but_the_first(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        stage = nn.Sequential(nn.Linear(2, 3 + rank))

        with pytest.raises(ValueError, match=r"process 1 saves with stage of 2 param"):
            Checkpoints(tmp_path / "run").save(1, stage=stage)

    in_two_processes(act, tmp_path / "processes")
    assert Checkpoints(tmp_path / "run").steps == []


@needs_sharding
def test_processes_that_find_different_checkpoints_restore_none(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        net = fsdp(plain_net())
        before = whole_values(net)
        own = Checkpoints(tmp_path / "run")
        for step in (1, 2):
            own.save(step, model=net)
            net[0].weight.data.mul_(2)
        elsewhere = Checkpoints(tmp_path / "elsewhere")
        with pytest.raises(
            RecordMismatchError, match=r"1 finds no checkpoint in .*else"
        ):
            (elsewhere if rank else own).restore(model=net)
        with pytest.raises(RecordMismatchError, match=r"1 finds step 1 in .* 0 step 2"):
            own.restore(2 - rank, model=net)

        assert torch.equal(whole_values(net)["0.weight"], before["0.weight"] * 4)
        assert elsewhere.restore(model=net) == 0
        assert own.restore(model=net) == 2

    in_two_processes(act, tmp_path / "processes")


def test_generators_are_restored_by_all_processes_or_by_none(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        own = Checkpoints(tmp_path / "run")
        own.save(1, part=[1.5], rng=True)
        elsewhere = Checkpoints(tmp_path / "elsewhere")
        parts: dict[str, Any] = {} if rank else {"part": [0.0]}
        others: dict[str, Any] = {"absent": [1]} if rank else parts
        with pytest.raises(
            RecordMismatchError, match=r"1 finds no checkpoint in .*else"
        ):
            (elsewhere if rank else own).restore(rng=True)
        with pytest.raises(RecordMismatchError, match="absent: not in the checkpoint"):
            own.restore(rng=True, **others)
        # The first process may keep what the others do not have.
        assert own.restore(rng=True, **parts) == 1

    in_two_processes(act, tmp_path / "processes")
