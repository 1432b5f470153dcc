"""Checkpoints that copy nothing until a step comes: none ever mixes two steps."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.optim import AdamW
from burnish.records import RecordError
from burnish.records.writing import held_records, lazy_snapshot
from burnish.records.writing.lazy_snapshot import HeldTensor
from burnish.train import Checkpoint, Checkpoints

from ...records.gates import LONG, Gate, GatedCall, gate_at

torch.set_num_threads(1)

SEGMENT = 1 << 10
"""Bytes, so that tensors of tests have several."""


@pytest.fixture(autouse=True)
def small_tensors_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_snapshot, "SEGMENT", SEGMENT)
    monkeypatch.setattr(held_records, "LEAST", SEGMENT)


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator[GatedCall]:
    with gate_at(monkeypatch, Checkpoint, "write") as gated:
        yield gated


Optimizer = torch.optim.Optimizer

OPTIMIZERS: dict[str, Callable[[nn.Module], Optimizer]] = {
    "fused": lambda net: torch.optim.AdamW(net.parameters(), fused=True),
    "for loop": lambda net: torch.optim.AdamW(net.parameters(), foreach=False),
    "ours": lambda net: AdamW().bind(net, lr=1e-3),
    "ours in C": lambda net: AdamW().bind(net, lr=1e-3, fused=True),
    "our loop": lambda net: AdamW().bind(net, lr=1e-3, fused=False),
}


def counting_run(name: str) -> tuple[nn.Module, Optimizer]:
    """Return a run in which all values of a step are one number, and states too."""
    net = nn.Sequential(*(nn.Linear(40, 30, bias=False) for _ in range(4)))
    for parameter in net.parameters():
        parameter.data.zero_()
        parameter.grad = -torch.ones_like(parameter)
    optim = OPTIMIZERS[name](net)
    optim.step()
    return net, optim


def numbers(checkpoint: Checkpoint, name: str) -> dict[str, list[float]]:
    """Return which values each tensor of a part has."""
    entries = checkpoint[name].entries()
    return {entry.path: values_of(entry.tensor()) for entry in entries}


def values_of(tensor: torch.Tensor) -> list[float]:
    return sorted({*tensor.flatten().tolist()})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_checkpoint_holds_the_run_as_it_was_at_the_call(
    name: str, tmp_path: Path, gated: GatedCall
) -> None:
    net, optim = counting_run(name)
    gated.gate.open()
    expected = Checkpoints(tmp_path / "waited").save(1, model=net, optim=optim)
    gated.gate = Gate()
    run = Checkpoints(tmp_path / "lazy", wait=False, snapshot="lazy")

    saved = run.save(1, model=net, optim=optim)
    gated.gate.wait_for_arrival()
    optim.step()
    gated.gate.open()

    assert saved.wait(LONG).manifest == expected.manifest
    # Weights and both moments of each.
    assert saved.report is not None
    assert saved.report.n_held == saved.report.n_copied_later == 3 * 4 * 40 * 30 * 4
    assert expected.report is None


def test_memory_for_copies_serves_all_saves_and_may_be_had_before(
    tmp_path: Path,
) -> None:
    net, optim = counting_run("fused")
    with Checkpoints(tmp_path, wait=False, snapshot="lazy") as run:
        run.prepare(model=net, optim=optim)
        (memory,) = run._saves._later._spare  # pyright: ignore[reportPrivateUsage]  # nobody else sees it
        for number in range(3):
            run.save(number, model=net, optim=optim)
            optim.step()
            run.wait()
            assert run._saves._later._spare in ([], [memory])  # pyright: ignore[reportPrivateUsage]

    assert run._saves._later._spare == []  # pyright: ignore[reportPrivateUsage]


def test_a_failed_save_leaves_the_older_checkpoints(
    tmp_path: Path, gated: GatedCall
) -> None:
    net, optim = counting_run("fused")
    gated.gate.open()
    run = Checkpoints(tmp_path, keep_last=1, wait=False, snapshot="lazy")
    run.save(1, model=net, optim=optim).wait(LONG)
    gated.gate = Gate()

    saved = run.save(2, model=net, optim=optim)
    gated.gate.wait_for_arrival()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    gated.gate.open()

    with pytest.raises(RecordError, match=r"0\.weight: its values changed"):
        saved.wait(LONG)
    assert run.steps == [1]
    assert [n for n in os.listdir(tmp_path) if not n.startswith(".")] == [
        run["latest"].folder.name
    ]


def test_a_restore_of_another_run_makes_room_first(
    tmp_path: Path, gated: GatedCall
) -> None:
    net, optim = counting_run("for loop")
    gated.gate.open()
    older = Checkpoints(tmp_path / "older")
    older.save(1, model=net, optim=optim)
    optim.step()
    gated.gate = Gate()
    run = Checkpoints(tmp_path / "run", wait=False, snapshot="lazy")
    expected = values_of(next(net.parameters()))

    saved = run.save(2, model=net, optim=optim)
    gated.gate.wait_for_arrival()
    older.restore(model=net, optim=optim)
    gated.gate.open()

    saved.wait(LONG)
    assert {*map(tuple, numbers(saved, "model").values())} == {tuple(expected)}
    assert values_of(next(net.parameters())) != expected


@pytest.mark.parametrize("unchanged", ["write", "link"])
@pytest.mark.parametrize("suffix", [".mpk", ".mpk.zst"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_checkpoint_mixes_two_steps(
    name: str,
    suffix: str,
    unchanged: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jitter = Jitter(monkeypatch, seed=len(name))
    net, optim = counting_run(name)
    staging = jitter.random.choice([0, SEGMENT, 20 * SEGMENT, 1000 * SEGMENT])
    reference = Checkpoints(tmp_path / "waited", suffix=suffix)
    run = Checkpoints(
        tmp_path / "lazy",
        suffix=suffix,
        unchanged=unchanged,
        wait=False,
        snapshot="lazy",
        staging=staging,
    )

    for number in range(6):
        expected = reference.save(number, model=net, optim=optim)
        saved = run.save(number, model=net, optim=optim)
        for _ in range(jitter.random.randrange(3)):
            jitter.wait()
            optim.step()

        saved.wait(LONG)
        for part in ("model", "optim"):
            values = numbers(saved, part)
            assert values == numbers(expected, part)
            assert all(len(found) == 1 for found in values.values())


class Jitter:
    """Lets writers and steps meet each other at other places each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
        self.random = random.Random(seed)
        self._lock = threading.Lock()
        for name in ("_read", "copy_last", "hash_ahead"):
            monkeypatch.setattr(HeldTensor, name, self._slowed(vars(HeldTensor)[name]))

    def wait(self) -> None:
        with self._lock:
            seconds = self.random.choice([0.0, 0.0, 0.0, 0.0002, 0.001])
        time.sleep(seconds)

    def _slowed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def slowed(*args: Any) -> Any:
            self.wait()
            return function(*args)

        return slowed


def test_how_saves_copy_is_said_once(tmp_path: Path) -> None:
    run = Checkpoints(tmp_path, wait=False)

    with pytest.raises(TypeError, match="set it once, for all saves"):
        run.save(1, model=nn.Linear(1, 1), snapshot="lazy")
    with pytest.raises(ValueError, match="add wait=False"):
        Checkpoints(tmp_path, snapshot="lazy")
    run.save(1, snapshot={"a": 1}).wait(LONG)
