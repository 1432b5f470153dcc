"""Each process goes on with its own random numbers."""

import random
from pathlib import Path

import pytest
import torch

from burnish.records import RecordMismatchError
from burnish.records.processes.messages import united
from burnish.train import Checkpoints
from burnish.train.checkpoints.process_generators import (
    gathered_generators,
    state_of_process,
)
from burnish.train.checkpoints.rng import Generators

from ...forked_processes import in_two_processes


def drawn() -> list[float]:
    return [random.random(), *torch.rand(2).tolist()]  # no secret


def test_each_process_draws_again_what_it_drew(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        random.seed(rank)
        stored = gathered_generators()
        expected = drawn()
        Generators().load_state_dict(state_of_process(stored, "rng.mpk"))

        assert drawn() == expected
        both = [state["torch"].tolist() for state in stored["processes"]]
        assert both[0] != both[1]

    in_two_processes(act, tmp_path)


def test_generators_of_other_numbers_of_processes_are_refused() -> None:
    alone = gathered_generators()

    assert state_of_process(alone, "rng.mpk") is alone
    with pytest.raises(
        RecordMismatchError, match=r"of 2 processes, expected those of 1"
    ):
        state_of_process({"processes": [alone, alone]}, "rng.mpk")


def test_checkpoints_keep_the_generators_of_each_process(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        random.seed(rank)
        checkpoints = Checkpoints(tmp_path / "run")
        checkpoints.save(1, rng=True, x=[1])
        expected = drawn()

        assert checkpoints.restore(rng=True) == 1
        assert drawn() == expected
        assert len(set(united([str(expected)]))) == 2

    in_two_processes(act, tmp_path / "processes")

    before = drawn()
    with pytest.raises(RecordMismatchError, match=r"of 2 processes, expected those"):
        Checkpoints(tmp_path / "run").restore(rng=True)
    assert drawn() != before


def test_generators_of_a_process_stay_where_another_part_does_not_fit(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        checkpoints = Checkpoints(tmp_path / "run")
        checkpoints.save(1, rng=True, net=torch.nn.Linear(2, 2))
        other = torch.nn.Linear(3, 2)
        before = Generators().state_dict()["torch"].clone()
        with pytest.raises(RecordMismatchError, match="net"):
            checkpoints.restore(rng=True, net=other)

        assert torch.equal(before, Generators().state_dict()["torch"])

    in_two_processes(act, tmp_path / "processes")
