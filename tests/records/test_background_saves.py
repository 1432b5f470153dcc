"""Saves that nobody waits for: what was saved is in the file, and nothing later."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.wrapper_tensor import Int8
from torch import nn

import burnish
from burnish.records import Precision, PrecisionError, Record, Recorder, RecordError
from burnish.records import background_saves as saves
from burnish.records.background_saves import BackgroundSaves
from burnish.records.record_writer import WritableRecord
from burnish.records.writing import staging

from ..formats_of_records import OWN_RECORDERS
from .gates import LONG, Gate, full_disk


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))


def stepped(module: nn.Module) -> None:
    optim = torch.optim.AdamW(module.parameters(), lr=1.0)
    module(torch.rand(3, 4)).sum().backward()
    optim.step()


def edited(module: nn.Module) -> None:
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.fill_(7)


def loaded(module: nn.Module) -> None:
    burnish.load_record(module, burnish.save_record(net()))


def resized(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.data.resize_(1)


def cut(module: nn.Module) -> None:
    assert isinstance(module, nn.Sequential)
    del module[0]


CHANGES: list[Callable[[nn.Module], object]] = [
    stepped,
    edited,
    loaded,
    resized,
    lambda module: module.to(torch.float64),
    lambda module: module.half(),
    lambda module: module.requires_grad_(requires_grad=False),
    lambda module: setattr(module, "extra", nn.Linear(1, 1)),
    cut,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_after_the_call_is_not_in_the_file(
    change: Callable[[nn.Module], object], tmp_path: Path, gate: Gate
) -> None:
    module = net()
    expected = burnish.save_record(module)
    file = tmp_path / "net.mpk"

    handle = burnish.save_record(module, file, wait=False, progress=gate)
    gate.wait_for_arrival()
    change(module)
    gate.open()

    assert handle.wait(LONG) == file
    assert file.read_bytes() == expected


@pytest.mark.parametrize("name", OWN_RECORDERS)
@pytest.mark.parametrize("precision", [None, "half"])
def test_the_file_is_to_the_byte_the_one_that_is_waited_for(
    name: str, precision: Any, tmp_path: Path
) -> None:
    recorder, module = OWN_RECORDERS[name], net()
    options: dict[str, Any] = {"recorder": recorder, "precision": precision}
    expected = burnish.save_record(module, **options)

    handle = burnish.save_record(module, tmp_path / "net", wait=False, **options)

    assert handle.wait(LONG).read_bytes() == expected


def test_tensors_of_every_dtype_and_order_are_written_as_ever(
    awkward: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    record = Record.from_state_dict({**awkward, "conj": torch.tensor([1 + 2j]).conj()})

    handle = burnish.save_record(record, tmp_path / "odd.mpk", wait=False)

    assert handle.wait(LONG).read_bytes() == record.save()


def test_tensors_that_wrap_others_are_copied_as_these(
    tmp_path: Path, gate: Gate
) -> None:
    weight = Int8.of(torch.rand(4, 6))
    data = {"weight": weight}
    expected = burnish.save_record(data)

    handle = burnish.save_record(data, tmp_path / "int8.mpk", wait=False, progress=gate)
    gate.wait_for_arrival()
    weight.data_.zero_()
    gate.open()

    assert handle.wait(LONG).read_bytes() == expected


def test_what_lies_in_a_file_is_copied_before_that_is_closed(
    tmp_path: Path, gate: Gate
) -> None:
    source, copy = tmp_path / "a.mpk", tmp_path / "b.mpk"
    burnish.save_record({"w": torch.rand(100_000)}, source)

    with burnish.open_record(source) as record:
        handle = burnish.save_record(record, copy, wait=False, progress=gate)
    source.unlink()
    gate.open()

    handle.wait(LONG)
    assert len(burnish.open_record(copy)["w"]) == 100_000


def test_metadata_and_plain_data_are_those_of_the_call(
    tmp_path: Path, gate: Gate
) -> None:
    metadata, epochs = {"tags": ["a"]}, [1]
    data = {"epochs": epochs, "w": torch.ones(2)}
    file = tmp_path / "run.mpk"

    handle = burnish.save_record(
        data, file, wait=False, progress=gate, metadata=metadata
    )
    gate.wait_for_arrival()
    metadata["tags"].append("b")
    epochs.append(2)
    gate.open()

    handle.wait(LONG)
    record = burnish.open_record(file)
    assert record.metadata["tags"] == ["a"]
    assert record.to_data()["epochs"] == [1]


def test_a_relative_path_is_that_of_the_call(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    handle = burnish.save_record(net(), "net.mpk", wait=False, progress=gate)
    monkeypatch.chdir(tmp_path / "elsewhere")
    gate.open()

    assert handle.wait(LONG) == tmp_path / "net.mpk"
    assert (tmp_path / "net.mpk").exists()


def test_the_next_save_waits_for_the_one_that_goes_on(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = burnish.save_record(net(), tmp_path / "a.mpk", wait=False, progress=gate)
    gate.wait_for_arrival()
    begun, copies = threading.Event(), list[bool]()
    copy = staging.Staging.copy
    join = BackgroundSaves.join

    def noted_join(pending: BackgroundSaves) -> None:
        begun.set()
        join(pending)

    def noted_copy(memory: staging.Staging, records: Any) -> Any:
        copies.append(first.done())
        return copy(memory, records)

    monkeypatch.setattr(BackgroundSaves, "join", noted_join)
    monkeypatch.setattr(staging.Staging, "copy", noted_copy)
    second = threading.Thread(
        target=lambda: burnish.save_record(net(), tmp_path / "b.mpk", wait=False)
    )
    second.start()
    assert begun.wait(LONG)
    gate.open()
    second.join(LONG)

    assert copies == [True]


def test_of_two_saves_to_one_file_the_later_one_stays(
    tmp_path: Path, gate: Gate
) -> None:
    file, saved = tmp_path / "net.mpk", threading.Event()
    burnish.save_record({"w": torch.zeros(2)}, file, wait=False, progress=gate)
    gate.wait_for_arrival()

    def save() -> None:
        burnish.save_record({"w": torch.ones(2)}, file)
        saved.set()

    later = threading.Thread(target=save)
    later.start()
    gate.open()
    later.join(LONG)

    assert saved.is_set()
    assert burnish.open_record(file)["w"].tolist() == [1, 1]


def fail(*progress: object) -> None:
    raise full_disk()


def test_an_error_that_nobody_has_seen_is_raised_by_the_next_save(
    tmp_path: Path,
) -> None:
    file = tmp_path / "net.mpk"
    burnish.save_record({"w": [0]}, file)
    burnish.save_record({"w": torch.ones(1)}, file, wait=False, progress=fail).join()

    with pytest.raises(OSError, match=r"disk is full.*net\.mpk"):
        burnish.save_record({"w": [2]}, tmp_path / "b.mpk", wait=False)

    assert burnish.open_record(file).to_data() == {"w": [0]}
    assert os.listdir(tmp_path) == ["net.mpk"]
    burnish.save_record({"w": [2]}, tmp_path / "b.mpk", wait=False).wait(LONG)


def test_a_disk_that_is_full_leaves_the_old_file_and_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "net.mpk"
    burnish.save_record({"w": torch.zeros(2)}, file)
    monkeypatch.setattr(os, "write", fail)
    monkeypatch.setattr(os, "writev", fail)

    handle = burnish.save_record({"w": torch.ones(2)}, file, wait=False)
    handle.join()
    monkeypatch.undo()

    with pytest.raises(OSError, match="the disk is full"):
        handle.wait()
    assert burnish.open_record(file)["w"].tolist() == [0, 0]
    assert os.listdir(tmp_path) == ["net.mpk"]


def test_what_cannot_be_saved_is_said_by_the_call_and_nothing_begins(
    tmp_path: Path,
) -> None:
    file = tmp_path / "net.mpk"
    record = Record.from_state_dict({"w": torch.tensor([1e9])})

    with pytest.raises(RecordError, match="w: a tensor on the meta device"):
        burnish.save_record({"w": torch.empty(1, device="meta")}, file, wait=False)
    with pytest.raises(PrecisionError, match="w"):
        burnish.save_record(record, file, precision="half", wait=False)
    with pytest.raises(TypeError, match="metadata"):
        burnish.save_record(net(), file, metadata={"a": object()}, wait=False)

    assert os.listdir(tmp_path) == []


def test_only_a_path_can_be_written_while_nobody_waits(tmp_path: Path) -> None:
    save: Any = burnish.save_record

    with pytest.raises(ValueError, match="bytes are returned at once"):
        save(net(), wait=False)
    with (
        (tmp_path / "net.mpk").open("wb") as file,
        pytest.raises(ValueError, match="wait=False writes to a path"),
    ):
        save(net(), file, wait=False)


def test_ctrl_c_during_the_copy_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "net.mpk"

    def interrupt(*tensors: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(staging, "copy_tensors", interrupt)
    with pytest.raises(KeyboardInterrupt):
        burnish.save_record(net(), file, wait=False)
    monkeypatch.undo()

    assert os.listdir(tmp_path) == []
    assert torch.is_grad_enabled()
    burnish.save_record(net(), file, wait=False).wait(LONG)
    assert file.exists()


def test_values_that_become_zero_are_warned_of_by_the_call(tmp_path: Path) -> None:
    record = Record.from_state_dict({"w": torch.tensor([1e-30])})
    precision = Precision(param="half", underflow="warn")

    with pytest.warns(UserWarning, match="1 value other than 0 stored as 0 in 1 entry"):
        handle = burnish.save_record(
            record, tmp_path / "w.mpk", precision=precision, wait=False
        )

    handle.wait(LONG)


def test_memory_is_kept_for_the_next_save_of_a_run(tmp_path: Path) -> None:
    run = BackgroundSaves(keeps_memory=True)
    record = Record.from_state_dict({"w": torch.ones(1000)})
    addresses: list[int] = []

    def write(snapshot: Sequence[WritableRecord]) -> None:
        addresses.append(snapshot[0].entries.entries()[0].tensor().data_ptr())

    for _ in range(3):
        run.begin([Recorder().prepare(record)], write, tmp_path).wait(LONG)

    assert len({*addresses}) == 1


def test_a_saved_snapshot_is_freed(tmp_path: Path) -> None:
    burnish.save_record(net(), tmp_path / "net.mpk", wait=False).wait(LONG)

    assert saves._saves._staging._spare == []  # pyright: ignore[reportPrivateUsage]  # nobody else sees it
