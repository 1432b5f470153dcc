"""Writeback: the disk is told of every byte in order, and no save needs that."""

import errno
from pathlib import Path

import pytest
import torch

from burnish.records import Record, open_record
from burnish.records.io import sink
from burnish.records.io.sink import Writeback

MIB = 1 << 20


def test_the_disk_begins_once_enough_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ranges: list[tuple[int, int]] = []
    monkeypatch.setattr(
        sink,
        "_sync_range",
        lambda _, start, count, __: ranges.append((start, count)),
    )
    disk = Writeback(3, start=100)

    for count in (5 * MIB, 2 * MIB, 2 * MIB, 30 * MIB, 1):
        disk.advance(count)

    assert ranges == [(100, 9 * MIB), (100 + 9 * MIB, 30 * MIB)]


def test_a_save_tells_the_disk_of_its_file_up_to_the_last_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ranges: list[tuple[int, int]] = []
    monkeypatch.setattr(
        sink,
        "_sync_range",
        lambda _, start, count, __: ranges.append((start, count)),
    )
    file, tensors = tmp_path / "a.mpk", {"large": torch.ones(6 * MIB)}
    tensors |= {f"small{i}": torch.ones(16_000) for i in range(300)}

    Record.from_state_dict(tensors).save(file)

    starts = [start for start, _ in ranges]
    ends = [start + count for start, count in ranges]
    assert starts == [0, *ends[:-1]]
    assert file.stat().st_size - 8 * MIB < ends[-1] <= file.stat().st_size


def test_a_file_system_that_cannot_do_it_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The call answers with a number, as the C library's does.
    monkeypatch.setattr(sink, "_sync_range", lambda *_: -errno.EINVAL)
    file = tmp_path / "a.mpk"

    Record.from_state_dict({"w": torch.ones(3 * MIB)}).save(file)

    assert torch.equal(open_record(file)["w"], torch.ones(3 * MIB))


def test_a_system_without_the_call_has_one_that_does_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without(*_: object) -> None:
        raise AttributeError("undefined symbol: sync_file_range")

    monkeypatch.setattr("ctypes.CDLL", without)

    call = sink._sync_file_range()  # pyright: ignore[reportPrivateUsage]

    assert call(3, 0, MIB, 2) is None
