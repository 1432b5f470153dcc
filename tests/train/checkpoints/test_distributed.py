"""With several processes: the same numbers, or an error in words on each."""

from pathlib import Path
from typing import Any

import pytest

from burnish.train import Checkpoints

from ...forked_processes import in_two_processes
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


def test_a_part_that_the_first_process_lacks_is_not_left_out_in_silence(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        parts: dict[str, Any] = {"part": [1.5]} | (
            {"own": [2], "loss": 0.5} if rank else {}
        )

        with pytest.raises(
            ValueError, match="process 1 saves own, loss, which process 0"
        ):
            Checkpoints(tmp_path / "run").save(1, **parts)

    in_two_processes(act, tmp_path / "processes")
    assert Checkpoints(tmp_path / "run").steps == []
