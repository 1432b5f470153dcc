"""The stateful program is killed, started again, and ends with the same bits."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from burnish.records import open_record

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

BOTH = f"""
import os, sys
sys.path.insert(0, {str(EXAMPLES)!r})
import stateful
from burnish.train import HyperState
folder, *words = sys.argv[1:]
stateful.main(["--checkpoint-dir", folder + "/whole", *words])
step = HyperState.step
class Stopped(Exception):
    pass
def stopped(run):
    step(run)
    if run.state.step == 4:
        raise Stopped
stateful.distributed.init_process_group(
    "gloo",
    init_method=f"file://{{folder}}/meeting",
    rank=int(os.environ["RANK"]),
    world_size=2,
)
HyperState.step = stopped
try:
    stateful.main(["--checkpoint-dir", folder + "/stopped", *words])
except Stopped:
    HyperState.step = step
    stateful.main(["--checkpoint-dir", folder + "/stopped", *words])
"""


def started(*program: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *program, *WORDS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def output(process: "subprocess.Popen[str]") -> tuple[str, str]:
    out, errors = process.communicate(timeout=100)
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
    killed.communicate(timeout=100)
    assert killed.returncode == -signal.SIGKILL

    again, told = output(started(script, *folder))

    assert output(whole) == (again, "")
    assert again.startswith("step 8, loss 0.")
    assert told == f"going on from {tmp_path}/killed/latest-step000000000004\n"
    assert len(tensors(tmp_path / "killed")) > 10
    assert tensors(tmp_path / "killed") == tensors(tmp_path / "whole")


def test_two_processes_go_on_together_to_the_same_bits(tmp_path: Path) -> None:
    distributed: Any = torch.distributed
    store = distributed.TCPStore("localhost", 0, 2, True, wait_for_workers=False)
    launched = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port)}
    processes = [
        started(
            "-c",
            BOTH,
            str(tmp_path),
            RANK=str(rank),
            WORLD_SIZE="2",
            TORCHELASTIC_USE_AGENT_STORE="True",
            **launched,
        )
        for rank in range(2)
    ]

    outputs = [output(process) for process in processes]

    for rank, (lines, _) in enumerate(outputs):
        whole, again = lines.splitlines()
        assert whole == again
        assert whole.endswith(f"process {rank}")
    assert ["going on from" in errors for _, errors in outputs] == [True, False]
    assert tensors(tmp_path / "stopped") == tensors(tmp_path / "whole")
