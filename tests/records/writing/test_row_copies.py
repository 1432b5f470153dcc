"""Rows of bytes copied by several threads: all of them, whoever comes to help."""

import ctypes
import threading
from collections.abc import Iterator

import pytest
import torch

from burnish.records.writing.row_copies import RowCopy, copy_rows

from ..threads import torch_threads

SIZES = (1 << 20, 9 << 20, 4 << 20, 1, (16 << 20) + 5)


@pytest.fixture(autouse=True)
def _three_threads() -> Iterator[None]:
    with torch_threads(3):
        yield


class Tensors:
    def __init__(self) -> None:
        self.sources = [torch.randint(0, 256, (n,), dtype=torch.uint8) for n in SIZES]
        self.targets = [torch.zeros(n, dtype=torch.uint8) for n in SIZES]
        pairs = zip(self.targets, self.sources, strict=True)
        self.rows = [RowCopy(t.data_ptr(), s.data_ptr(), len(s)) for t, s in pairs]

    @property
    def are_equal(self) -> bool:
        pairs = zip(self.targets, self.sources, strict=True)
        return all(torch.equal(t, s) for t, s in pairs)


def test_every_byte_is_copied() -> None:
    tensors = Tensors()

    copy_rows(tensors.rows, tensors)

    assert tensors.are_equal


def test_nothing_is_copied_of_nothing() -> None:
    copy_rows([], None)


def test_helpers_take_pieces_beside_the_one_that_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tensors = Tensors()
    helpers = threading.Barrier(3)
    copiers: set[threading.Thread] = set()
    memmove = ctypes.memmove

    def noted(*row: int) -> None:
        thread = threading.current_thread()
        if thread not in copiers:
            copiers.add(thread)
            helpers.wait(60)
        memmove(*row)

    monkeypatch.setattr(ctypes, "memmove", noted)
    copy_rows(tensors.rows, tensors)

    assert tensors.are_equal
    assert len(copiers) == 3


def test_without_threads_to_be_had_the_caller_copies_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tensors = Tensors()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    copy_rows(tensors.rows, tensors)

    assert tensors.are_equal


def test_an_interrupt_ends_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = Tensors()
    n_before = threading.active_count()
    memmove, main = ctypes.memmove, threading.main_thread()
    interrupted = threading.Event()

    def interrupt(*row: int) -> None:
        if threading.current_thread() is main:
            interrupted.set()
            raise KeyboardInterrupt
        assert interrupted.wait(60)
        memmove(*row)

    monkeypatch.setattr(ctypes, "memmove", interrupt)
    with pytest.raises(KeyboardInterrupt):
        copy_rows(tensors.rows, tensors)
    for thread in threading.enumerate():
        if thread.daemon and thread.name.startswith("burnish"):
            thread.join(60)

    assert threading.active_count() == n_before
