"""Runs that are killed end with the bits of uninterrupted ones."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import burnish.optim

from .. import fresh_processes
from . import resumed_run
from .resumed_run import WAYS, Result, result_of

torch.set_num_threads(1)


OURS = [
    name
    for name in burnish.optim.__all__
    if isinstance(getattr(burnish.optim, name), type)
    and (
        issubclass(getattr(burnish.optim, name), burnish.optim.SimpleOptimizer)
        or name == "LBFGS"
    )
    and name != "SimpleOptimizer"
]


N_STEPS, KILL_AT = 5, 3
"""What is killed has been saved once, a step before."""

THEIRS = ["torch.Adam", "torch.SGD", "torch.Adagrad", "torch.LBFGS"]


def in_child(action: Callable[[], object]) -> int:
    """Return the status of a process that runs ``action``."""
    child = os.fork()
    if not child:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def assert_same(a: Result, b: Result) -> None:
    assert a.losses == b.losses
    assert a.lr == b.lr
    assert torch.equal(a.drawn, b.drawn)
    for name, tensor in a.weights.items():
        assert torch.equal(tensor, b.weights[name]), name


# HyperState stores what Checkpoints do: kinds of state, and not every optimizer again.
RUNS = [
    *(("loop", name) for name in [*OURS, *THEIRS]),
    *(("hyperstate", name) for name in ("AdamW", "Muon", "LBFGS", "ScheduleFreeAdamW")),
    *(("hyperstate", name) for name in ("torch.Adam", "torch.LBFGS")),
]


@pytest.mark.parametrize(("way", "name"), RUNS)
def test_a_killed_run_ends_with_the_bits_of_an_uninterrupted_one(
    way: str, name: str, tmp_path: Path
) -> None:
    expected = result_of(WAYS[way](tmp_path / "whole", name, N_STEPS, 0))

    def killed() -> None:
        WAYS[way](tmp_path / "run", name, N_STEPS, KILL_AT)

    def resumed() -> None:
        run = WAYS[way](tmp_path / "run", name, N_STEPS, 0)
        result_of(run).save(tmp_path / "result.mpk")

    assert os.WTERMSIG(in_child(killed)) == signal.SIGKILL
    assert in_child(resumed) == 0
    assert_same(Result.load(tmp_path / "result.mpk"), expected)


@pytest.mark.parametrize("way", [*WAYS])
def test_a_killed_run_resumes_in_a_new_process(way: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    expected = result_of(WAYS[way](tmp_path / "whole", "AdamW", N_STEPS, 0))
    killed = in_child(lambda: WAYS[way](folder, "AdamW", N_STEPS, KILL_AT))
    words = [way, str(folder), "AdamW", str(N_STEPS), "0"]

    fresh_processes.run(resumed_run.__file__, *words, check=True)

    assert os.WTERMSIG(killed) == signal.SIGKILL
    assert_same(Result.load(folder / "result.mpk"), expected)
