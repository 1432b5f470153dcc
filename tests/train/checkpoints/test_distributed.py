"""With several processes: the same numbers, or an error in words on each."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from burnish.train import Checkpoints, HyperState


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


def test_a_url_is_no_folder_for_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"s3://bucket/run is a URL.*local folder"):
        Checkpoints("s3://bucket/run")
    with pytest.raises(ValueError, match="is a URL"):
        HyperState.load(dict, dict, lambda config: {}, checkpoint_dir="gs://a/b")
