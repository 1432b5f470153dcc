"""With several processes: the same numbers, or an error in words on each."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.train import Checkpoints, HyperState

from ..forked_processes import in_two_processes


@pytest.mark.skipif(
    not hasattr(torch.cpu.Stream, "record_event"),
    reason="this torch cannot shard a module on the CPU",
)
def test_two_processes_train_alike_and_are_refused_alike(tmp_path: Path) -> None:
    script = Path(__file__).with_name("two_processes.py")
    meeting = f"file://{tmp_path / 'meeting'}"
    run = [sys.executable, "-W", "ignore", str(script)]

    processes = [
        subprocess.Popen(
            [*run, str(rank), meeting, str(tmp_path)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=200)[1] for process in processes]

    assert [process.returncode for process in processes] == [0, 0], errors


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


def test_a_url_is_no_folder_for_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"s3://bucket/run is a URL.*local folder"):
        Checkpoints("s3://bucket/run")
    with pytest.raises(ValueError, match="is a URL"):
        HyperState.load(dict, dict, lambda config: {}, checkpoint_dir="gs://a/b")
