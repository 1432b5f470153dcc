"""The group of processes that were launched together."""

import os
from pathlib import Path

import pytest
from torch import distributed as dist

from burnish.train.checkpoints.process_group import launched_process_group

from ...forked_processes import in_two_processes


def test_one_process_alone_has_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    with launched_process_group():
        assert not dist.is_initialized()
    for name, text in {
        "RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, text)
    with launched_process_group():
        assert not dist.is_initialized()


def test_a_group_that_the_program_made_stays(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="x")
        os.environ["MASTER_PORT"] = "1"
        with launched_process_group():
            assert dist.get_backend() == "gloo"
        assert dist.is_initialized()

    in_two_processes(act, tmp_path)
