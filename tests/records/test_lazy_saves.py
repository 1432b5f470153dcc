"""Saves that copy nothing until a step comes: what was there at the call is written."""

import os
import subprocess
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.optim import SGD, AdamW, OptimizerAdaptor
from burnish.records import RecordError, SaveHandle
from burnish.records.writing import held_records, lazy_snapshot
from burnish.records.writing.lazy_snapshot import HeldTensor

from .. import fresh_processes
from ..formats_of_records import OWN_RECORDERS
from .gates import LONG, Gate, GatedCall, gate_at

SEGMENT = 1 << 10
"""Bytes, so that tensors of tests have several."""


@pytest.fixture(autouse=True)
def small_tensors_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_snapshot, "SEGMENT", SEGMENT)
    monkeypatch.setattr(held_records, "LEAST", SEGMENT)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[GatedCall]:
    """A gate before the first look of a writer at what is held."""
    with gate_at(monkeypatch, HeldTensor, "hash_ahead") as gated:
        yield gated


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(32, 32), nn.BatchNorm1d(32), nn.Linear(32, 32))


def ready_to_step(
    module: nn.Module, make: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW
) -> torch.optim.Optimizer:
    """Return an optimizer of the module after a first step, with gradients."""
    optim = make(module.parameters(), lr=0.5)
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    optim.step()
    return optim


def lazily(module: Any, file: Path, **options: Any) -> SaveHandle[Path]:
    return burnish.save_record(module, file, wait=False, snapshot="lazy", **options)


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "for loop": lambda params, lr: torch.optim.AdamW(params, lr=lr, foreach=False),
    "foreach": lambda params, lr: torch.optim.AdamW(params, lr=lr, foreach=True),
    # Its kernels raise no version of a tensor.
    "fused": lambda params, lr: torch.optim.AdamW(params, lr=lr, fused=True),
    "SGD": torch.optim.SGD,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_before_anything_is_read_changes_nothing_of_the_file(
    name: str, tmp_path: Path, reads: GatedCall
) -> None:
    module = net()
    optim = ready_to_step(module, OPTIMIZERS[name])
    expected = burnish.save_record(module)

    handle = lazily(module, tmp_path / "net.mpk")
    reads.gate.wait_for_arrival()
    optim.step()
    reads.gate.open()

    assert handle.wait(LONG).read_bytes() == expected
    assert handle.report.n_held == handle.report.n_copied_later == 2 * 32 * 32 * 4
    assert handle.report.seconds_held_up > 0


@pytest.mark.parametrize("fused", [None, True, False])
def test_a_step_of_ours_is_noticed_on_every_engine(
    fused: bool | None, tmp_path: Path, reads: GatedCall
) -> None:
    module = net()
    optim = AdamW().bind(module, lr=0.5, fused=fused)
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    optim.step()
    expected = burnish.save_record(module), optim.save_record()

    file, state_file = tmp_path / "net.mpk", tmp_path / "optim.mpk"
    data = burnish.open_record(expected[1])
    assert data is not None
    handle = lazily(module, file)
    reads.gate.wait_for_arrival()
    optim.step()
    reads.gate.open()

    assert handle.report.n_copied_later == handle.report.n_held > 0
    assert handle.wait(LONG).read_bytes() == expected[0]
    assert not state_file.exists()


def test_gradients_that_are_applied_by_hand_are_a_step(
    tmp_path: Path, reads: GatedCall
) -> None:
    module = net()
    optim = SGD().bind(module, lr=0.5)
    grads: dict[str, torch.Tensor] = {
        p.id: torch.ones_like(p.tensor) for p in burnish.named_params(module)
    }
    expected = burnish.save_record(module)

    handle = lazily(module, tmp_path / "net.mpk")
    reads.gate.wait_for_arrival()
    optim.apply_gradients(None, module, grads)
    reads.gate.open()

    assert handle.wait(LONG).read_bytes() == expected


def closure_step(module: nn.Module, optim: torch.optim.Optimizer) -> None:
    def loss() -> torch.Tensor:
        optim.zero_grad()
        value: torch.Tensor = module(torch.ones(2, 32)).square().sum()
        value.backward()  # type: ignore[no-untyped-call]  # of torch
        return value

    optim.step(loss)  # type: ignore[arg-type]  # a loss


def test_a_step_with_a_closure_is_a_step_from_its_beginning(
    tmp_path: Path, reads: GatedCall
) -> None:
    module = nn.Linear(32, 32)
    optim = ready_to_step(module, torch.optim.SGD)
    lbfgs = torch.optim.LBFGS(module.parameters())
    expected = burnish.save_record(module)

    handle = lazily(module, tmp_path / "net.mpk")
    reads.gate.wait_for_arrival()
    closure_step(module, lbfgs)
    optim.step()
    reads.gate.open()

    assert handle.wait(LONG).read_bytes() == expected


def test_a_step_that_a_scaler_skips_is_none(tmp_path: Path, reads: GatedCall) -> None:
    module = net()
    optim = ready_to_step(module)
    scaler = torch.amp.GradScaler("cpu")
    loss = scaler.scale(module(torch.ones(2, 32)).sum() * float("inf"))
    loss.backward()  # type: ignore[no-untyped-call]  # of torch

    handle = lazily(module, tmp_path / "net.mpk")
    reads.gate.wait_for_arrival()
    scaler.step(optim)
    reads.gate.open()

    handle.wait(LONG)
    assert handle.report.n_copied_later == 0


# Torch's compiler warns of what it imports itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_step_that_torch_compiled_is_a_step(tmp_path: Path, reads: GatedCall) -> None:
    module = net()
    optim = ready_to_step(module)
    step = torch.compile(lambda: optim.step(), backend="eager")
    step()
    expected = burnish.save_record(module)

    handle = lazily(module, tmp_path / "net.mpk")
    reads.gate.wait_for_arrival()
    step()
    reads.gate.open()

    assert handle.wait(LONG).read_bytes() == expected


def test_a_load_makes_room_as_a_step_does(tmp_path: Path, reads: GatedCall) -> None:
    module = net()
    optim = ready_to_step(module)
    expected, other = burnish.save_record(module), burnish.save_record(net())

    handle = lazily(module, tmp_path / "net.mpk")
    reads.gate.wait_for_arrival()
    burnish.load_record(module, other)
    reads.gate.open()

    assert handle.wait(LONG).read_bytes() == expected
    assert handle.report.n_copied_later > 0
    assert optim.state


@pytest.mark.parametrize("name", OWN_RECORDERS)
@pytest.mark.parametrize("precision", [None, "half"])
def test_the_file_is_to_the_byte_the_one_that_is_waited_for(
    name: str, precision: Any, tmp_path: Path
) -> None:
    module = nn.Sequential(net(), nn.Linear(520, 520))
    optim = ready_to_step(module)
    options: dict[str, Any] = {
        "recorder": OWN_RECORDERS[name],
        "precision": precision,
    }
    expected = burnish.save_record(module, **options)

    handle = lazily(module, tmp_path / "net", staging=1 << 20, **options)
    optim.step()

    assert handle.wait(LONG).read_bytes() == expected


class Readings:
    """Lets a writer read one segment after the other, as many as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._allowed, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._is_free = False
        read = vars(HeldTensor)["_read"]

        def gated_read(held: HeldTensor, *args: Any) -> None:
            if not self._is_free:
                assert self._allowed.acquire(timeout=LONG)
            read(held, *args)
            self._done.release()

        monkeypatch.setattr(HeldTensor, "_read", gated_read)

    def allow(self, count: int) -> None:
        """Return when ``count`` more segments were read."""
        for _ in range(count):
            self._allowed.release()
        for _ in range(count):
            assert self._done.acquire(timeout=LONG)

    def allow_all(self) -> None:
        self._is_free = True
        self._allowed.release(1000)


N_SEGMENTS = 2 * 32 * 32 * 4 // SEGMENT


@pytest.mark.parametrize("staging", [0, SEGMENT, 3 * SEGMENT, 64 * SEGMENT])
@pytest.mark.parametrize("n_read", range(N_SEGMENTS + 1))
def test_a_step_after_any_number_of_reads_is_in_no_file(
    n_read: int, staging: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, readings = net(), Readings(monkeypatch)
    optim = ready_to_step(module, OPTIMIZERS["fused"])
    expected = burnish.save_record(module)

    handle = lazily(module, tmp_path / "net.mpk", staging=staging)
    readings.allow(n_read)
    stepping = threading.Thread(target=optim.step)
    stepping.start()
    if staging >= (N_SEGMENTS - n_read) * SEGMENT:
        # Nobody reads on, and the step comes to its end.
        stepping.join(LONG)
        assert not stepping.is_alive()
    readings.allow_all()
    stepping.join(LONG)

    assert handle.wait(LONG).read_bytes() == expected
    assert burnish.save_record(module) != expected
    assert handle.report.n_copied_later <= staging


def test_a_second_step_in_another_thread_waits_for_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, other, readings = net(), net(), Readings(monkeypatch)
    optims = [ready_to_step(module), ready_to_step(other)]
    expected = burnish.save_record({"a": module.state_dict(), "b": other.state_dict()})

    data = {"a": module.state_dict(), "b": other.state_dict()}
    handle = lazily(data, tmp_path / "nets.mpk", staging=SEGMENT)
    readings.allow(3)
    steps = [threading.Thread(target=optim.step) for optim in optims]
    for step in steps:
        step.start()
    readings.allow_all()
    for step in steps:
        step.join(LONG)

    assert handle.wait(LONG).read_bytes() == expected


def test_a_step_that_begins_during_the_call_waits_for_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = net()
    optim = ready_to_step(module)
    expected, has_begun = burnish.save_record(module), threading.Event()
    settle = lazy_snapshot.LazySnapshot.settle

    def noted_settle(snapshot: lazy_snapshot.LazySnapshot) -> None:
        has_begun.set()
        settle(snapshot)

    monkeypatch.setattr(lazy_snapshot.LazySnapshot, "settle", noted_settle)
    stepping = threading.Thread(target=optim.step)
    hold = held_records.HeldRecords.hold

    def slow_hold(records: held_records.HeldRecords, snapshot: Any) -> Any:
        stepping.start()
        assert has_begun.wait(LONG)
        return hold(records, snapshot)

    monkeypatch.setattr(held_records.HeldRecords, "hold", slow_hold)
    handle = lazily(module, tmp_path / "net.mpk")
    stepping.join(LONG)

    assert handle.wait(LONG).read_bytes() == expected


def test_a_step_in_the_thread_that_writes_does_not_wait_for_itself(
    tmp_path: Path,
) -> None:
    module = net()
    optim = ready_to_step(module)
    expected = burnish.save_record(module)

    handle = lazily(
        module, tmp_path / "net.mpk", staging=0, progress=lambda *_: optim.step()
    )

    assert handle.wait(LONG).read_bytes() == expected


def in_place(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2)


def swapped_by_state_dict(module: nn.Module) -> None:
    module.load_state_dict(net().state_dict())


def freed(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.untyped_storage().resize_(0)


def grown(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.data.resize_(100_000)


CHANGES: list[Callable[[nn.Module], object]] = [
    in_place,
    swapped_by_state_dict,
    freed,
    grown,
]


@pytest.mark.parametrize("change", CHANGES)
def test_another_change_before_the_values_are_read_fails_the_save(
    change: Callable[[nn.Module], object], tmp_path: Path, reads: GatedCall
) -> None:
    module, file = net(), tmp_path / "net.mpk"
    optim = ready_to_step(module)
    burnish.save_record(module, file)
    before = file.read_bytes()

    handle = lazily(module, file)
    reads.gate.wait_for_arrival()
    change(module)
    reads.gate.open()

    with pytest.raises(RecordError, match=r"0\.weight: its values changed.*'copy'"):
        handle.wait(LONG)
    assert optim.state
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["net.mpk"]


def test_a_change_that_no_version_tells_is_noticed_once_values_were_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, readings = net(), Readings(monkeypatch)
    optim = ready_to_step(module)

    handle = lazily(module, tmp_path / "net.mpk")
    readings.allow(1)
    module.get_parameter("2.weight").data.mul_(2)
    readings.allow_all()

    with pytest.raises(RecordError, match=r"2\.weight.*differ from those first read"):
        handle.wait(LONG)
    assert os.listdir(tmp_path) == []
    assert optim.state


def test_a_change_before_a_step_fails_the_save_and_not_the_step(
    tmp_path: Path, reads: GatedCall
) -> None:
    module = net()
    optim = ready_to_step(module)

    handle = lazily(module, tmp_path / "net.mpk")
    reads.gate.wait_for_arrival()
    in_place(module)
    optim.step()
    reads.gate.open()

    with pytest.raises(RecordError, match="its values changed"):
        handle.wait(LONG)


CHANGES_AFTER_WHICH_VALUES_STAY: list[Callable[[nn.Module], object]] = [
    lambda module: module.half(),
    lambda module: module.to(torch.float64),
    lambda module: module.requires_grad_(requires_grad=False),
    lambda module: setattr(module[0], "weight", nn.Parameter(torch.zeros(1))),  # type: ignore[index]  # a Sequential
    lambda module: module.load_state_dict(net().state_dict(), assign=True),
    lambda module: module.zero_grad(),
]


@pytest.mark.parametrize("change", CHANGES_AFTER_WHICH_VALUES_STAY)
def test_new_memory_for_a_parameter_leaves_the_old_one_to_the_save(
    change: Callable[[nn.Module], object], tmp_path: Path, reads: GatedCall
) -> None:
    module = net()
    optim = ready_to_step(module)
    expected = burnish.save_record(module)

    handle = lazily(module, tmp_path / "net.mpk")
    reads.gate.wait_for_arrival()
    change(module)
    del module, optim
    reads.gate.open()

    assert handle.wait(LONG).read_bytes() == expected
    assert handle.report.n_held > 0


def test_what_belongs_to_no_optimizer_is_copied_at_once(
    tmp_path: Path, reads: GatedCall
) -> None:
    module, averages = net(), torch.optim.swa_utils.AveragedModel(net())
    ready_to_step(module)
    expected = burnish.save_record(averages)

    handle = lazily(averages, tmp_path / "averages.mpk")
    averages.update_parameters(module)
    in_place(averages)

    assert handle.wait(LONG).read_bytes() == expected
    assert handle.report.n_held == 0 < handle.report.n_copied_at_once


def test_an_ended_save_has_no_part_in_steps(tmp_path: Path) -> None:
    module = net()
    optim = ready_to_step(module)

    handle = lazily(module, tmp_path / "net.mpk")
    handle.wait(LONG)
    optim.step()

    assert handle.report.seconds_held_up == 0
    assert not vars(lazy_snapshot)["_pending"]


def test_a_full_disk_lets_steps_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, gate = net(), Gate()
    optim = ready_to_step(module)

    def fail(*progress: object) -> None:
        gate()
        raise OSError("the disk is full")

    handle = lazily(module, tmp_path / "net.mpk", staging=0, progress=fail)
    gate.wait_for_arrival()
    stepping = threading.Thread(target=optim.step)
    stepping.start()
    gate.open()
    stepping.join(LONG)

    assert not stepping.is_alive()
    with pytest.raises(OSError, match="full"):
        handle.wait()


def test_ctrl_c_in_the_call_leaves_no_save_that_steps_would_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = net()
    optim = ready_to_step(module)

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    for owner, name in [(held_records.HeldRecords, "hold"), (SaveHandle, "start")]:
        monkeypatch.setattr(owner, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            lazily(module, tmp_path / "net.mpk")
        monkeypatch.undo()
        assert not vars(lazy_snapshot)["_pending"]
        optim.step()


def test_ctrl_c_while_a_step_waits_leaves_the_parameters_and_the_save(
    tmp_path: Path, reads: GatedCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = net()
    optim = ready_to_step(module)
    expected = burnish.save_record(module)

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    handle = lazily(module, tmp_path / "net.mpk", staging=SEGMENT)
    reads.gate.wait_for_arrival()
    with monkeypatch.context() as patch:
        patch.setattr(lazy_snapshot.LazySnapshot, "_wait_for_reads", interrupt)
        with pytest.raises(KeyboardInterrupt):
            optim.step()
    assert burnish.save_record(module) == expected
    reads.gate.open()
    optim.step()

    assert handle.wait(LONG).read_bytes() == expected


def in_a_process(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    begin = """
        import os, torch, burnish
        from burnish.records.writing import held_records, lazy_snapshot
        held_records.LEAST = lazy_snapshot.SEGMENT = 1 << 10
        net = torch.nn.Linear(64, 64)
        optim = torch.optim.SGD(net.parameters(), lr=1.0)
        net.weight.grad = -torch.ones(64, 64)
        net.weight.data.zero_()
        def lazily(**options):
            return burnish.save_record(
                net, "net.mpk", wait=False, snapshot="lazy", **options
            )
    """
    program = textwrap.dedent(begin) + textwrap.dedent(code)
    return fresh_processes.run("-c", program, cwd=folder, finalize=True)


def test_the_program_ends_after_a_lazy_save(tmp_path: Path) -> None:
    code = """
        import threading
        is_ending = threading.Event()
        lazily(staging=0, progress=lambda *_: is_ending.wait(60))
        threading.Thread(target=lambda: (
            threading.main_thread().join(), is_ending.set(), optim.step()
        )).start()
        del net
    """

    ended = in_a_process(code, tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert burnish.open_record(tmp_path / "net.mpk")["weight"].count_nonzero() == 0


def test_a_kill_leaves_the_file_of_before(tmp_path: Path) -> None:
    code = """
        lazily().wait()
        optim.step()
        lazily(progress=lambda *_: os._exit(9)).wait()
    """

    ended = in_a_process(code, tmp_path)

    assert ended.returncode == 9
    assert burnish.open_record(tmp_path / "net.mpk")["weight"].count_nonzero() == 0


def test_a_fork_waits_for_a_lazy_save_and_the_child_steps_alone(
    tmp_path: Path,
) -> None:
    code = """
        lazily(staging=0)
        child = os.fork()
        optim.step()
        if not child:
            os._exit(int(net.weight[0, 0].item()))
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """

    ended = in_a_process(code, tmp_path)

    assert ended.returncode == 1
    assert burnish.open_record(tmp_path / "net.mpk")["weight"].count_nonzero() == 0


def test_lazy_saves_are_for_those_that_nobody_waits_for(tmp_path: Path) -> None:
    save: Any = burnish.save_record

    with pytest.raises(ValueError, match="add wait=False"):
        save(net(), tmp_path / "net.mpk", snapshot="lazy")
    with pytest.raises(ValueError, match="'copy' or 'lazy', got 'soon'"):
        save(net(), tmp_path / "net.mpk", wait=False, snapshot="soon")
    with pytest.raises(ValueError, match="a number of bytes, at least 0, got -1"):
        lazily(net(), tmp_path / "net.mpk", staging=-1)
    with pytest.raises(ValueError, match="staging= limits the copies"):
        save(net(), tmp_path / "net.mpk", wait=False, staging=5)
    assert os.listdir(tmp_path) == []


def test_a_step_of_ours_makes_no_detour_for_hooks_because_of_lazy_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = net()
    optim = SGD().bind(module, lr=0.5)
    lazily(module, tmp_path / "net.mpk").wait(LONG)

    def refuse(*args: object) -> None:
        raise AssertionError("the hooks were asked")

    monkeypatch.setattr(OptimizerAdaptor, "_hooked_step", refuse)
    optim.step()
