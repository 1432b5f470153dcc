"""What docs/serving.md says of servers: shared pages, no place to write, preemption."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish

from . import fresh_processes
from .fresh_processes import FreshProcess

needs_smaps = pytest.mark.skipif(
    not Path("/proc/self/smaps").exists(), reason="counts pages as Linux tells of them"
)

SIZE = 2048
"""Of the layer whose pages are counted: 16 MiB."""


def net() -> nn.Module:
    return nn.Linear(SIZE, SIZE, bias=False)


def private_bytes(file: Path, pid: int) -> int:
    """Return the bytes of ``file`` that the process ``pid`` has for itself alone."""
    total, is_file = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, rest = line.partition(":")
        if " " in name:  # the head of a map: its range, then the file
            is_file = line.endswith(str(file))
        elif is_file and name in ("Private_Dirty", "Private_Clean"):
            total += int(rest.split()[0]) * 1024
    return total


@needs_smaps
def test_workers_of_a_pre_fork_server_share_the_pages_of_a_mapped_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "net.mpk"
    burnish.save_record(net(), file)
    served = burnish.from_record(net, file)
    with torch.inference_mode():
        expected = served(torch.ones(SIZE)).sum()

    def work() -> bool:
        torch.set_num_threads(1)
        with torch.inference_mode():
            answer = served(torch.ones(SIZE)).sum()
        is_shared = private_bytes(file, os.getpid()) < file.stat().st_size / 50
        return is_shared and bool((answer - expected).abs() < 0.1)

    assert [forked(work) for _ in range(2)] == [0, 0]


@needs_smaps
def test_a_worker_that_writes_to_weights_has_pages_of_its_own(tmp_path: Path) -> None:
    """The pages are copied when written to: nobody else sees the change."""
    file = tmp_path / "net.mpk"
    burnish.save_record(net(), file)
    served = burnish.from_record(net, file)
    before = next(served.parameters())[0, 0].item()

    def work() -> bool:
        torch.set_num_threads(1)
        with torch.no_grad():
            for parameter in served.parameters():
                parameter.add_(1)
        return private_bytes(file, os.getpid()) > file.stat().st_size / 2

    assert forked(work) == 0
    assert next(served.parameters())[0, 0].item() == before


def forked(work: Callable[[], bool]) -> int:
    """Return the status of a child that calls ``work``: 0 if it returned True."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 2
    try:
        status = 0 if work() else 1
    finally:
        os._exit(status)


READ_ONLY = """
import errno, os, sys

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate"}

SCRATCH = os.environ.get("TMPDIR", "nowhere")

def refuse(event, arguments):
    if arguments and str(arguments[0]).startswith(SCRATCH):
        return
    if event == "open" and arguments[2] & WRITES and arguments[0] != os.devnull:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), arguments[0])
    if event in CHANGES:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))

sys.addaudithook(refuse)
"""
"""A file system on which nothing can be written but in $TMPDIR, if there is one."""

READ = """
import logging, torch
from torch import nn
import burnish
net = burnish.from_record(lambda: nn.Linear(4, 4), "net.mpk")
assert burnish.verify_file("net.mpk").verified == "all"
burnish.load_record(net, "net.mpk")
burnish.open_record("net.mpk.zst").load_all()
"""

STEP = """
import warnings
from dataclasses import dataclass
from burnish.optim import SimpleOptimizer, engine_report
from burnish.records import Record

class State(Record):
    mean: torch.Tensor

@dataclass(frozen=True, kw_only=True)
class Mean(SimpleOptimizer[State]):
    def init(self, tensor):
        return State(torch.zeros_like(tensor))
    def step(self, lr, tensor, grad, state):
        mean = state.mean * 0.9 + grad
        return tensor - lr * mean.sign(), State(mean)

optimizer = Mean().bind(net, lr=0.1)
net(torch.ones(2, 4)).sum().backward()
optimizer.step()
print(engine_report(optimizer))
"""


@pytest.fixture
def without_home(tmp_path: Path) -> Path:
    burnish.save_record(nn.Linear(4, 4), tmp_path / "net.mpk")
    burnish.save_record(nn.Linear(4, 4), tmp_path / "net.mpk.zst")
    return tmp_path


Runs = Callable[..., "subprocess.CompletedProcess[str]"]


def new_interpreter(*words: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, **options)


def run(
    program: str,
    folder: Path,
    run_python: Runs = fresh_processes.run,
    **variables: str,
) -> "subprocess.CompletedProcess[str]":
    """Run ``program`` where nothing can be written and nobody is at home."""
    names = ("HOME", "XDG_CACHE_HOME", "BURNISH_CACHE", "TMPDIR")
    environment = {k: v for k, v in os.environ.items() if k not in names}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment |= {"HOME": "/nonexistent", **variables}
    return run_python("-c", program, cwd=folder, env=environment)


def test_reading_writes_nothing(without_home: Path) -> None:
    """Nor does importing what is needed for it."""
    result = run(READ_ONLY + READ, without_home, new_interpreter)

    assert result.returncode == 0, result.stderr


def test_an_optimizer_steps_where_no_program_can_be_compiled_to(
    without_home: Path,
) -> None:
    """torch itself wants a folder for temporary files before it makes any optimizer."""
    scratch = without_home / "scratch"
    scratch.mkdir()

    program = READ_ONLY + READ + STEP
    result = run(program, without_home, new_interpreter, TMPDIR=str(scratch))

    assert result.returncode == 0, result.stderr
    assert "2 parameters on" in result.stdout


def test_a_save_says_that_the_file_system_is_read_only(without_home: Path) -> None:
    save = "burnish.save_record(net, 'other.mpk')"
    result = run(READ_ONLY + READ + save, without_home)

    assert result.returncode == 1
    assert "Read-only file system" in result.stderr
    assert sorted(os.listdir(without_home)) == ["net.mpk", "net.mpk.zst"]


PREEMPTED = """
import signal, time
from torch import nn
from burnish.train import Checkpoints
net = nn.Linear(4, 4)
with Checkpoints("run", on_signal=signal.SIGTERM) as checkpoints:
    step = checkpoints.restore(model=net)
    print(step, flush=True)
    while True:
        step += 1
        time.sleep(0.01)
        if step % 1000 == 0 or checkpoints.is_ending:
            checkpoints.save(step, model=net)
"""


def test_a_preempted_program_saves_and_goes_on_from_there(tmp_path: Path) -> None:
    begins: list[int] = []
    for _ in range(2):
        with FreshProcess("-c", PREEMPTED, cwd=tmp_path, piped=True) as process:
            begins.append(int(process.stdout.readline()))
            process.send_signal(signal.SIGTERM)
            assert process.wait() in (-signal.SIGTERM, 128 + signal.SIGTERM)

    assert begins[0] == 0
    assert begins[1] > 0
