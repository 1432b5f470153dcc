"""States whose saves nobody waits for: whole, in order, read when they are there."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records.io.save_handle import SaveHandle
from burnish.records.writing import held_records
from burnish.train import HyperState
from burnish.train.hyperstate.state_folder import StateFiles

from ...records.gates import LONG, Gate, GatedCall, full_disk, gate_at
from .states import Config, LazyState, advance, begin_lazy, load, train, weights

torch.set_num_threads(1)


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator[GatedCall]:
    with gate_at(monkeypatch, StateFiles, "write") as gated:
        yield gated


def test_a_state_is_saved_as_it_was_at_the_step(
    tmp_path: Path, gated: GatedCall
) -> None:
    run = load(tmp_path, wait=False)
    train(run.state, 2)
    expected = weights(run.state.net)

    run.step()
    gated.gate.wait_for_arrival()
    train(run.state, 3)
    run.state.seen.append(5)
    gated.gate.open()

    again = load(tmp_path)
    assert again.state.step == 2
    assert again.state.seen == []
    assert weights(again.state.net) == expected


def test_a_lazy_save_is_of_the_step_too(
    tmp_path: Path, gated: GatedCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_records, "LEAST", 1)
    run = load(tmp_path, wait=False, snapshot="lazy")
    train(run.state, 2)
    expected = weights(run.state.net)

    run.step()
    gated.gate.wait_for_arrival()
    train(run.state, 3)
    gated.gate.open()

    again = load(tmp_path)
    assert again.state.step == 2
    assert weights(again.state.net) == expected
    assert run.report is not None
    assert run.report.n_copied_later == run.report.n_held > 0


def test_the_folder_is_to_the_byte_the_one_that_is_waited_for(tmp_path: Path) -> None:
    run = load(tmp_path / "a", wait=False)
    train(run.state, 1)
    other = HyperState(run.config, run.state, folders=load(tmp_path / "b")._folders)  # pyright: ignore[reportPrivateUsage]  # another place

    a, b = Path(run.save()), Path(other.save())
    run.wait()

    assert sorted(os.listdir(a)) == sorted(os.listdir(b))
    for name in os.listdir(a):
        assert (a / name).read_bytes() == (b / name).read_bytes()


def test_older_states_are_retired_when_the_new_one_is_there(
    tmp_path: Path, gated: GatedCall
) -> None:
    run = load(tmp_path, keep_last=2, wait=False)
    gated.gate.open()
    advance(run, 1)
    run.wait()
    gated.gate = Gate()

    advance(run, 2)
    gated.gate.wait_for_arrival()
    before = [name for name in os.listdir(tmp_path) if not name.startswith(".")]
    gated.gate.open()
    run.wait()

    assert before == ["latest-step000000000001"]
    assert sorted(os.listdir(tmp_path)) == [
        "latest-step000000000002",
        "step000000000001",
    ]


def test_a_save_that_fails_is_told_by_the_next_one_and_leaves_the_older(
    tmp_path: Path, gated: GatedCall
) -> None:
    run = load(tmp_path, wait=False)
    gated.gate.open()
    advance(run, 1)
    run.wait()
    gated.error = full_disk()

    advance(run, 2)
    with pytest.raises(OSError, match="the disk is full"):
        advance(run, 3)

    assert os.listdir(tmp_path) == ["latest-step000000000001"]
    gated.error = None
    advance(run, 3)
    run.wait()
    assert os.listdir(tmp_path) == ["latest-step000000000003"]


def test_a_lazy_field_waits_for_the_save_that_moves_its_file(
    tmp_path: Path, gated: GatedCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lazy_run() -> HyperState[Config, LazyState]:
        return HyperState.load(
            Config, LazyState, begin_lazy, checkpoint_dir=tmp_path, wait=False
        )

    gated.gate.open()
    run = lazy_run()
    expected = weights(run.state.other)
    advance(run, 1)
    run.wait()
    again = lazy_run()
    gated.gate = Gate()

    advance(again, 2)
    gated.gate.wait_for_arrival()
    waiting, reads = threading.Event(), list[list[float]]()
    join = SaveHandle[Any].join

    def noted(handle: SaveHandle[Any], timeout: float | None = None) -> None:
        waiting.set()
        join(handle, timeout)

    monkeypatch.setattr(SaveHandle, "join", noted)
    reader = threading.Thread(target=lambda: reads.append(weights(again.state.other)))
    reader.start()
    assert waiting.wait(LONG)
    assert not reads
    gated.gate.open()
    reader.join(LONG)

    assert reads == [expected]
    assert os.listdir(tmp_path) == ["latest-step000000000002"]


@pytest.mark.parametrize("wait", [True, False])
def test_a_save_tells_its_progress_with_the_file_before_the_path(
    tmp_path: Path, wait: bool
) -> None:
    calls: list[tuple[int, int, str]] = []
    run = load(tmp_path, wait=wait, progress=lambda *call: calls.append(call))
    train(run.state, 1)

    run.step()
    run.wait()

    assert calls
    assert all(0 <= n_done <= n_bytes for n_done, n_bytes, _ in calls)
    assert any(".mpk." in path for _, _, path in calls)


def test_a_progress_that_raises_leaves_the_older_state(tmp_path: Path) -> None:
    def stop(*call: object) -> None:
        raise RuntimeError("that is enough")

    run = load(tmp_path)
    train(run.state, 1)
    run.step()
    before = os.listdir(tmp_path)
    stopped = load(tmp_path, progress=stop)
    train(stopped.state, 1)

    with pytest.raises(RuntimeError, match="that is enough"):
        stopped.step()

    assert os.listdir(tmp_path) == before


@pytest.mark.parametrize("wait", [True, False])
def test_a_signal_is_noted_and_the_next_step_saves_and_ends(
    tmp_path: Path, wait: bool
) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    options: dict[str, Any] = {"every": 100, "wait": wait}
    run = load(tmp_path, on_signal=signal.SIGUSR1, **options)
    advance(run, 1)
    saved_before = os.listdir(tmp_path)

    os.kill(os.getpid(), signal.SIGUSR1)
    with pytest.raises(SystemExit) as ended:
        advance(run, 2)

    assert ended.value.code == 128 + signal.SIGUSR1
    assert saved_before == []
    assert os.listdir(tmp_path) == ["latest-step000000000002"]
    assert signal.getsignal(signal.SIGUSR1) is before
