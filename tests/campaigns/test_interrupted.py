"""Saving and loading, ended by an exception at some of their lines.

`make crash` tries every line.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

from burnish import open_record, save_record
from burnish.records.entries import entry as entries
from burnish.records.header import stored_entries
from burnish.records.tensors.memory import memory_address

from .injection import injected
from .interrupted import cases, ctrl_c_at_random, differences

SPARSE = {
    "build": 127,
    "Checkpoints.save": 2503,
    "Checkpoints.restore": 2503,
    "save_pretrained": 997,
    "load.json": 1999,
    "load.json.gz": 2503,
    "load.json.zst": 2503,
    "save.json": 997,
    "save.json.gz": 997,
    "save.json.zst": 997,
    "optimizer": 2003,
    "optimizer.load_state_dict": 37,
}
"""Every which line is tried where there are many, or much is prepared for each."""


@pytest.mark.filterwarnings("ignore:.*is restored and replaces Linear")
@pytest.mark.parametrize("name", cases())
def test_an_exception_at_any_line_leaves_the_old_or_the_new_and_nothing_open(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is the same line with and without a disk behind it.
    monkeypatch.setattr(os, "fsync", lambda fd: None)

    found = [*differences(cases()[name], tmp_path, every=SPARSE.get(name, 257))]

    assert found == []


@pytest.mark.parametrize("name", ["save.mpk", "load.mpk", "dump"])
def test_ctrl_c_at_any_moment_leaves_the_old_or_the_new_and_nothing_open(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)

    assert [*ctrl_c_at_random(cases()[name], tmp_path, 60)] == []


def test_no_exception_comes_where_a_lock_would_stay_locked() -> None:
    file = save_record(nn.Linear(2, 2))
    n_places = 0

    def action() -> None:
        record = open_record(file)
        assert record["weight"] is not None
        assert record.entries()[0].source is not None

    for _ in injected(lambda: action):
        n_places += 1
        assert not entries._lock.locked()  # pyright: ignore[reportPrivateUsage]  # what is tested
        # This thread may take it again: another one says whether it is free.
        with ThreadPoolExecutor(1) as other_thread:
            assert other_thread.submit(_can_be_taken).result()

    assert n_places > 0


def _can_be_taken() -> bool:
    lock = stored_entries._lock.here  # pyright: ignore[reportPrivateUsage]  # what is tested
    is_free: bool = lock.acquire(blocking=False)
    if is_free:
        lock.release()
    return is_free


def test_no_exception_comes_where_torch_would_stay_without_functions() -> None:
    n_places = 0

    for _ in injected(lambda: lambda: memory_address(torch.ones(1))):
        n_places += 1
        assert torch._C._is_torch_function_enabled()  # pyright: ignore[reportPrivateUsage]  # torch has no public one

    assert n_places > 0
