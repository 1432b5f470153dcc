"""The stateful program is killed, started again, and ends with the same bits."""

import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from burnish.records import open_record
from burnish.train import HyperState

from ..forked_processes import in_two_processes
from ..fresh_processes import FreshProcess

EXAMPLES = Path(__file__).parents[2] / "examples"

WORDS = ["net.width=8", "optimizer.lr=step: 0.02@0 cos 0@8", "steps=8"]

KILLED = f"""
import os, signal, sys
sys.path.insert(0, {str(EXAMPLES)!r})
import stateful
from burnish.train import HyperState
step = HyperState.step
def killed(run):
    step(run)
    if run.state.step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
HyperState.step = killed
stateful.main()
"""


def started(*program: str) -> FreshProcess:
    return FreshProcess(*program, *WORDS, env={**os.environ, "OMP_NUM_THREADS": "1"})


def output(process: FreshProcess) -> tuple[str, str]:
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return out, errors


def tensors(folder: Path) -> dict[str, Any]:
    """Return every tensor of the state in the last checkpoint of a run."""
    checkpoint = folder / "latest-step000000000008"
    return {
        f"{file} {entry.path}": entry.read().tolist()
        for file in ("state.net.mpk", "state.optimizer.mpk")
        for entry in open_record(checkpoint / file).entries()
    }


def test_a_killed_program_goes_on_by_the_same_words_to_the_same_bits(
    tmp_path: Path,
) -> None:
    script = str(EXAMPLES / "stateful.py")
    whole = started(script, "--checkpoint-dir", str(tmp_path / "whole"))
    folder = ("--checkpoint-dir", str(tmp_path / "killed"))
    killed = started("-c", KILLED, *folder)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL

    again, told = output(started(script, *folder))

    assert output(whole) == (again, "")
    assert again.startswith("step 8, loss 0.")
    assert told == f"resuming from {tmp_path}/killed/latest-step000000000004\n"
    assert len(tensors(tmp_path / "killed")) > 10
    assert tensors(tmp_path / "killed") == tensors(tmp_path / "whole")


class Stopped(Exception):
    pass


def test_two_processes_go_on_together_to_the_same_bits(tmp_path: Path) -> None:
    whole_run, stopped_run = tmp_path / "whole", tmp_path / "stopped"

    def act(rank: int) -> None:
        sys.path.insert(0, str(EXAMPLES))
        stateful, step = import_module("stateful"), HyperState.step

        def stop_at_4(run: HyperState[Any, Any]) -> None:
            step(run)
            if run.state.step == 4:
                raise Stopped

        def run_in(folder: Path) -> None:
            stateful.main(["--checkpoint-dir", str(folder), *WORDS])

        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as told:
            run_in(whole_run)
            with patch.object(HyperState, "step", stop_at_4), pytest.raises(Stopped):
                run_in(stopped_run)
            run_in(stopped_run)

        whole, again = out.getvalue().splitlines()
        assert whole == again
        assert whole.endswith(f"process {rank}")
        assert ("resuming from" in told.getvalue()) == (rank == 0)

    in_two_processes(act, tmp_path)

    assert tensors(stopped_run) == tensors(whole_run)
