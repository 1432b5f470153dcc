"""Checkpoints that nobody waits for: who looks waits, and a failure is told."""

import os
import signal
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records.io.save_handle import SaveHandle
from burnish.records.writing.staging import Staging
from burnish.train import Checkpoint, Checkpoints

from ... import fresh_processes
from ...forked_processes import in_two_processes
from ...records.gates import LONG, Gate, GatedCall, full_disk, gate_at
from ..killed import killed_everywhere
from .runs import filled, net, same

torch.set_num_threads(1)


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator[GatedCall]:
    with gate_at(monkeypatch, Checkpoint, "write") as gated:
        yield gated


def test_a_checkpoint_holds_the_run_as_it_was_at_the_call(
    tmp_path: Path, gated: GatedCall
) -> None:
    model, other = filled(net(), 1.0), net()
    optim = torch.optim.AdamW(model.parameters())
    model(torch.randn(3, 4)).sum().backward()
    optim.step()
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    counts, checkpoints = {"seen": [1]}, Checkpoints(tmp_path, wait=False)

    saved = checkpoints.save(1, model=model, optim=optim, counts=counts, rng=True)
    draw = torch.rand(1)
    gated.gate.wait_for_arrival()
    optim.step()
    filled(model, 9.0)
    counts["seen"].append(2)
    gated.gate.open()

    resumed = torch.optim.AdamW(other.parameters())
    counts = {}
    assert checkpoints.restore(model=other, optim=resumed, counts=counts, rng=True) == 1
    assert all(torch.equal(v, expected[k]) for k, v in other.state_dict().items())
    assert {int(state["step"]) for state in resumed.state.values()} == {1}
    assert counts == {"seen": [1]}
    assert torch.equal(torch.rand(1), draw)
    assert saved.done()


def test_the_folder_is_to_the_byte_the_one_that_is_waited_for(tmp_path: Path) -> None:
    parts: dict[str, Any] = {"model": net(), "numbers": [1, 2], "loss": 0.5}

    a = Checkpoints(tmp_path / "a", wait=False).save(7, **parts).wait(LONG)
    b = Checkpoints(tmp_path / "b").save(7, **parts)

    assert sorted(os.listdir(a)) == sorted(os.listdir(b))
    for name in os.listdir(a):
        assert Path(a.folder, name).read_bytes() == Path(b.folder, name).read_bytes()
    assert a.manifest == b.manifest


LOOKS: dict[str, Callable[[Checkpoints], object]] = {
    "latest": lambda run: run.latest,
    "steps": lambda run: run.steps,
    "best": lambda run: run.best,
    "in": lambda run: 2 in run,
    "[]": lambda run: run["latest"].step,
    "restore": lambda run: run.restore(value={}),
    "save": lambda run: run.save(3, value={"n": 3}),
    "wait": lambda run: run.wait(),
    "another": lambda run: Checkpoints(run.folder).latest,
    "another's save": lambda run: Checkpoints(run.folder).save(3, value={}),
}


@pytest.mark.parametrize("look", LOOKS)
def test_who_looks_at_a_run_waits_for_its_save(
    look: str, tmp_path: Path, gated: GatedCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Checkpoints(tmp_path, keep_best="loss", wait=False)
    saved = run.save(2, value={"n": 2}, loss=1.0)
    gated.gate.wait_for_arrival()
    waiting, looks = threading.Event(), list[bool]()
    join = SaveHandle[Any].join

    def noted(handle: SaveHandle[Any], timeout: float | None = None) -> None:
        waiting.set()
        join(handle, timeout)
        looks.append(saved.done())

    monkeypatch.setattr(SaveHandle, "join", noted)
    looker = threading.Thread(target=lambda: LOOKS[look](run))
    looker.start()
    assert waiting.wait(LONG)
    assert not looks
    gated.gate.open()
    looker.join(LONG)

    assert looks[0]
    assert not looker.is_alive()


def test_a_save_of_the_same_step_replaces_the_one_that_goes_on(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, wait=False) as run:
        run.save(1, value={"n": 1})
        run.save(1, value={"n": 2})

    assert run.steps == [1]
    assert run[1]["value"] == {"n": 2}


def test_older_checkpoints_go_when_the_new_one_is_there(
    tmp_path: Path, gated: GatedCall
) -> None:
    run = Checkpoints(tmp_path, keep_last=1, wait=False)
    gated.gate.open()
    run.save(1, value={"n": 1}).wait(LONG)
    gated.gate = Gate()

    saved = run.save(2, value={"n": 2})
    gated.gate.wait_for_arrival()
    before = sorted(f for f in os.listdir(tmp_path) if not f.startswith("."))
    gated.gate.open()
    saved.wait(LONG)

    assert before == ["step000000000001"]
    assert run.steps == [2]


def test_a_save_that_fails_removes_nothing_and_the_next_save_says_so(
    tmp_path: Path, gated: GatedCall
) -> None:
    run = Checkpoints(tmp_path, keep_last=1, wait=False)
    gated.gate.open()
    run.save(1, value={"n": 1}).wait(LONG)
    gated.error = full_disk()

    saved = run.save(2, value={"n": 2})
    assert run.latest == 1
    with pytest.raises(OSError, match="the disk is full"):
        run.save(3, value={"n": 3})
    gated.error = None
    run.save(3, value={"n": 3})

    assert run.steps == [3]
    with pytest.raises(OSError, match="the disk is full"):
        saved.wait(LONG)
    assert sorted(os.listdir(tmp_path)) == ["step000000000003"]


def test_the_end_of_a_with_block_waits_and_raises(
    tmp_path: Path, gated: GatedCall
) -> None:
    gated.error = full_disk()
    gated.gate.open()

    with (
        pytest.raises(OSError, match="the disk is full"),
        Checkpoints(tmp_path, wait=False) as run,
    ):
        run.save(1, value={"n": 1})


def test_an_error_of_the_block_goes_first_and_notes_that_of_the_save(
    tmp_path: Path, gated: GatedCall
) -> None:
    gated.error = full_disk()
    gated.gate.open()

    def failing_run() -> None:
        with Checkpoints(tmp_path, wait=False) as run:
            run.save(1, value={"n": 1})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        failing_run()

    assert "the last save failed as well" in caught.value.__notes__[0]


def test_one_memory_serves_all_saves_and_can_be_had_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, addresses = net(1000), list[int]()
    copy = Staging.copy

    def noted(staging: Staging, records: Any) -> Any:
        copies, memory = copy(staging, records)
        addresses.append(memory.data_ptr())
        return copies, memory

    run = Checkpoints(tmp_path, wait=False)
    run.prepare(model=model, rng=True)
    prepared = run._saves._staging._spare[0].data_ptr()  # pyright: ignore[reportPrivateUsage]  # nobody else sees it
    monkeypatch.setattr(Staging, "copy", noted)
    with run:
        for step in range(3):
            run.save(step, model=model, rng=True).wait(LONG)

    assert addresses == [prepared] * 3
    assert run._saves._staging._spare == []  # pyright: ignore[reportPrivateUsage]  # given back


def test_what_is_no_data_is_said_by_the_call(tmp_path: Path) -> None:
    run = Checkpoints(tmp_path, wait=False)

    with pytest.raises(TypeError, match="value"):
        run.save(1, value={"a": object()})
    with pytest.raises(Exception, match="meta device") as caught:
        run.save(1, value={"a": torch.empty(2, device="meta")})
    with pytest.raises(TypeError, match=r"burnish\.Checkpoints\(folder, wait=False\)"):
        run.save(1, value={}, wait=False)

    assert caught.value.__notes__ == ["in the part 'value' of the checkpoint"]
    assert run.steps == []


def test_a_checkpoint_that_is_being_saved_says_so(
    tmp_path: Path, gated: GatedCall
) -> None:
    run = Checkpoints(tmp_path, wait=False)

    saved = run.save(1, value={"n": 1})
    gated.gate.wait_for_arrival()
    text, is_done = f"{saved!r} {run!r}", saved.done()
    gated.gate.open()

    assert "being saved" in text
    assert "steps=[]" in text
    assert not is_done
    assert saved["value"] == {"n": 1}
    assert saved.step == 1


def test_a_kill_at_any_call_leaves_the_old_checkpoint_or_the_new(
    tmp_path: Path,
) -> None:
    def prepare() -> Any:
        Checkpoints(tmp_path, keep_last=1).save(1, model=filled(net(), 1.0))

        def save() -> None:
            run = Checkpoints(tmp_path, keep_last=1, wait=False)
            run.save(1, model=filled(net(), 2.0)).wait(LONG)

        return save

    for _ in killed_everywhere(prepare, stride=3):
        model = net()
        assert Checkpoints(tmp_path).restore(model=model) == 1
        assert same(model, filled(net(), 1.0)) or same(model, filled(net(), 2.0))


def test_workers_of_a_loader_leave_the_save_to_their_parent(tmp_path: Path) -> None:
    data = torch.utils.data.TensorDataset(torch.arange(8.0))
    loader = torch.utils.data.DataLoader(data, num_workers=2)
    run = Checkpoints(tmp_path, wait=False)

    for step in range(3):
        run.save(step, model=net())
        assert sum(float(x) for (x,) in loader) == 28.0

    run.wait()
    assert run.steps == [0, 1, 2]
    assert len(os.listdir(tmp_path)) == 3


def test_several_processes_wait_for_their_saves(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        run = Checkpoints(tmp_path / "run", wait=False)

        saved = run.save(1, value={"n": 1})

        assert saved.done()
        assert Checkpoints(tmp_path / "run").latest == 1

    in_two_processes(act, tmp_path / "meeting")


def test_a_signal_has_the_next_save_end_the_program(tmp_path: Path) -> None:
    program = """
    import os, signal, sys, burnish

    run = burnish.Checkpoints(
        sys.argv[1], wait=False, on_signal=signal.SIGTERM, keep_last=None
    )
    with run:
        for step in range(1000):
            if step == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            if step == 1 or run.is_ending:
                run.save(step, value={"step": step})
    """

    result = fresh_processes.run("-c", textwrap.dedent(program), tmp_path)

    assert result.stderr == ""
    assert result.returncode == 128 + signal.SIGTERM
    assert Checkpoints(tmp_path).steps == [1, 5]
