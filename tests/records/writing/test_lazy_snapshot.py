"""Values that stay in their place until they are read, or somebody changes them."""

import ctypes
import os
import signal
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from burnish.records import RecordError
from burnish.records.io.save_handle import SnapshotReport
from burnish.records.writing import lazy_snapshot, spare_memory
from burnish.records.writing.lazy_snapshot import (
    HeldTensor,
    LazySnapshot,
    settle_snapshots,
)
from burnish.records.writing.spare_memory import CopyRoom, SpareMemory

SEGMENT = 64
"""Bytes, which are 16 values."""


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_snapshot, "SEGMENT", SEGMENT)


def snapshot(staging: int = 1 << 20) -> LazySnapshot:
    return LazySnapshot(SpareMemory(staging), SnapshotReport())


def room(dtype: torch.dtype, count: int) -> Tensor:
    return torch.empty(count, dtype=dtype)


def values(pieces: Iterator[Tensor]) -> list[float]:
    return [value for piece in pieces for value in piece.tolist()]


def test_values_come_in_segments_and_the_last_one_is_shorter() -> None:
    tensor = torch.arange(40.0)
    held = snapshot().hold("w", tensor)

    assert [len(piece) for piece in held.pieces(room, SEGMENT)] == [16, 16, 8]
    assert [len(piece) for piece in held.pieces(room, 2 * SEGMENT)] == [32, 8]
    assert torch.equal(held.load(), tensor)


def test_once_settled_values_are_those_of_before() -> None:
    tensor = torch.zeros(40)
    lazy = snapshot()
    held = lazy.hold("w", tensor)

    lazy.settle()
    tensor.fill_(1)

    assert values(held.pieces(room, SEGMENT)) == [0.0] * 40
    assert lazy.report.n_copied_later == tensor.nbytes


def test_the_handler_of_a_signal_finds_no_lock_for_which_the_writer_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lazy = snapshot()
    lazy.hold("w", torch.zeros(40))
    copy_last, locked = HeldTensor.copy_last, list[bool]()

    def copy_with_signal(self: HeldTensor, target: int) -> None:
        signal.raise_signal(signal.SIGUSR1)
        copy_last(self, target)

    monkeypatch.setattr(HeldTensor, "copy_last", copy_with_signal)
    before = signal.signal(signal.SIGUSR1, lambda *_: locked.append(lazy.lock.locked()))
    try:
        lazy.settle()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert locked == [False] * 3


def test_what_was_read_is_not_copied() -> None:
    lazy = snapshot()
    held = lazy.hold("w", torch.zeros(40))
    pieces = held.pieces(room, SEGMENT)
    next(pieces)

    lazy.settle()

    assert lazy.report.n_copied_later == 40 * 4 - SEGMENT
    assert len(values(pieces)) == 24


def test_what_is_read_more_than_once_is_copied_whole_until_the_last_time() -> None:
    tensor, lazy = torch.zeros(40), snapshot()
    held = lazy.hold("w", tensor)
    held.read_again()
    values(held.pieces(room, SEGMENT))

    lazy.settle()
    tensor.fill_(1)

    assert values(held.pieces(room, SEGMENT)) == [0.0] * 40


def test_more_readings_than_were_announced_fail_after_a_step() -> None:
    tensor, lazy = torch.zeros(40), snapshot()
    held = lazy.hold("w", tensor)
    values(held.pieces(room, SEGMENT))
    lazy.settle()
    tensor.fill_(1)

    with pytest.raises(RecordError, match="w: its values are needed again"):
        values(held.pieces(room, SEGMENT))


def test_an_abandoned_snapshot_gives_no_values() -> None:
    lazy = snapshot()
    held = lazy.hold("w", torch.zeros(40))

    lazy.abandon()

    settle_snapshots()
    with pytest.raises(RecordError, match="interrupted"):
        values(held.pieces(room, SEGMENT))


def test_a_write_between_hash_and_reading_is_noticed_whatever_made_it() -> None:
    tensor, lazy = torch.zeros(40), snapshot()
    held = lazy.hold("w", tensor)
    lazy.hash_ahead()

    ctypes.memset(tensor.data_ptr() + 100, 7, 1)

    with pytest.raises(RecordError, match="its bytes differ from those first"):
        values(held.pieces(room, SEGMENT))


def test_a_write_between_hash_and_step_is_noticed_in_the_copy() -> None:
    tensor, lazy = torch.zeros(40), snapshot()
    held = lazy.hold("w", tensor)
    lazy.hash_ahead()
    tensor.numpy()[3] = 1

    lazy.settle()
    tensor.fill_(0)

    with pytest.raises(RecordError, match="its bytes differ from those first"):
        values(held.pieces(room, SEGMENT))


def test_no_piece_of_a_changed_tensor_is_the_last_one() -> None:
    """A format that stops at the last byte must not take the file for whole."""
    tensor, lazy = torch.zeros(40), snapshot()
    held = lazy.hold("w", tensor)
    lazy.hash_ahead()
    tensor.data[0] = 1
    pieces, n_values = held.pieces(room, SEGMENT), list[int]()

    with pytest.raises(RecordError):
        n_values.extend(len(piece) for piece in pieces)
    assert sum(n_values) < len(tensor)


def test_without_memory_for_copies_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(size: int) -> CopyRoom:
        raise MemoryError

    lazy = snapshot()
    held = lazy.hold("w", torch.zeros(40))
    values(held.pieces(room, SEGMENT))
    monkeypatch.setattr(spare_memory, "CopyRoom", refuse)
    other = snapshot()
    other.hold("w", torch.zeros(4))

    lazy.settle()

    assert SpareMemory(100).take(10) is None


def test_the_thread_that_reads_does_not_wait_for_itself() -> None:
    tensor, lazy = torch.zeros(40), snapshot(staging=0)
    held = lazy.hold("w", tensor)
    lazy.hash_ahead()

    lazy.settle()
    tensor.fill_(1)

    assert values(held.pieces(room, SEGMENT)) == [0.0] * 40


def test_the_thread_that_reads_is_told_where_it_would_wait_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lazy = snapshot(staging=0)
    lazy.hold("w", torch.zeros(40))
    lazy.hash_ahead()
    monkeypatch.setattr(SpareMemory, "take", lambda *args, **options: None)

    with pytest.raises(MemoryError, match="no memory to copy"):
        lazy.settle()


def test_a_change_inside_of_the_call_is_refused() -> None:
    lazy = snapshot()

    with pytest.raises(RuntimeError, match="inside of a save_record"):
        lazy.take(settle_snapshots)

    lazy.abandon()
    settle_snapshots()


def test_a_forked_process_waits_for_no_writer_of_its_parent() -> None:
    lazy = snapshot(staging=0)
    lazy.take(lambda: lazy.hold("w", torch.zeros(40)))

    child = os.fork()
    if not child:
        settle_snapshots()
        os._exit(0)

    assert os.waitpid(child, 0)[1] == 0
    lazy.end()
