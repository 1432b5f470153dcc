"""Maps of files: private, without descriptors, and gone with their last tensor."""

import ctypes
import gc
import os
import signal
from collections import deque
from functools import partial
from operator import methodcaller
from pathlib import Path

import pytest
import torch

from burnish.records import Record, open_record
from burnish.records.io.private_map import GRANULARITY, private_map
from burnish.records.io.source import FileSource, Maps

from ... import fresh_processes


def n_maps(file: Path) -> int:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return sum(line.endswith(str(file)) for line in lines)


def n_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_pages_are_private_and_need_no_descriptor(tmp_path: Path) -> None:
    file = tmp_path / "pages"
    file.write_bytes(bytes(GRANULARITY) + b"burnish")
    fd = os.open(file, os.O_RDONLY)
    pages = private_map(fd, GRANULARITY, 7)
    os.close(fd)

    pages[0] = ord("f")

    assert bytes(pages) == b"furnish"
    assert file.read_bytes().endswith(b"burnish")


@pytest.mark.usefixtures("quick_collections")
def test_pages_go_with_the_last_view_of_them(tmp_path: Path) -> None:
    file = tmp_path / "pages"
    file.write_bytes(bytes(64))
    fd = os.open(file, os.O_RDONLY)
    pages = private_map(fd, 0, 64)
    os.close(fd)
    row = torch.frombuffer(pages[16:32], dtype=torch.float32).view(2, 2)[1]

    del pages
    gc.collect()
    row += 1

    assert row.tolist() == [1.0, 1.0]
    assert n_maps(file) == 1
    del row
    gc.collect()
    assert n_maps(file) == 0


def test_a_ctrl_c_that_comes_while_pages_go_is_raised(tmp_path: Path) -> None:
    file = tmp_path / "pages"
    file.write_bytes(bytes(64))
    fd = os.open(file, os.O_RDONLY)
    holder = [private_map(fd, 0, 64)]
    os.close(fd)
    interrupt = partial(ctypes.CDLL(None)["raise"], int(signal.SIGINT))

    # Python looks for signals between its own steps, and these are two in one.
    with pytest.raises(KeyboardInterrupt):
        deque(map(methodcaller("__call__"), (interrupt, holder.clear)), maxlen=0)

    assert n_maps(file) == 0


def test_what_cannot_be_mapped_says_so() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match="No such device"):
            private_map(reading, 0, 16)
    finally:
        os.close(reading)
        os.close(writing)


def test_what_cannot_be_mapped_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: int) -> memoryview:
        raise OSError(12, "Cannot allocate memory")

    value = torch.arange(1 << 19)
    Record.from_state_dict({"value": value}).save(tmp_path / "x.mpk")
    monkeypatch.setattr("burnish.records.io.source.private_map", fails)

    record = open_record(tmp_path / "x.mpk", mmap=True)
    (entry,) = record.entries()

    assert torch.equal(entry.read(), value)
    assert torch.equal(entry.read(Maps()), value)


def test_a_load_maps_a_file_once_and_two_loads_map_it_twice(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(bytes(1000))
    source = FileSource(str(file))
    one, other = Maps(), Maps()

    one.of(source).view(0, 4)[0] = 7

    assert one.of(source) is one.of(source)
    assert one.of(source).view(0, 4)[0] == 7
    assert other.of(source).view(0, 4)[0] == 0
    assert source.read(0, 4)[0] == 0


def test_an_open_record_has_one_descriptor_and_its_tensors_none(tmp_path: Path) -> None:
    tensors = {str(i): torch.ones(1 << 18) for i in range(3)}
    Record.from_state_dict(tensors).save(tmp_path / "x.mpk")
    # What a first load imports may keep descriptors of its own.
    open_record(tmp_path / "x.mpk").load_all()
    gc.collect()
    before = n_descriptors()

    record = open_record(tmp_path / "x.mpk")
    values = [record[name] for name in tensors]
    record.load_all()

    assert n_descriptors() == before + 1
    record.close()
    assert n_descriptors() == before
    assert all(value.sum() == 1 << 18 for value in values)


MANY = """
import resource, sys
import torch
import burnish
from torch import nn

# The imports of a first load need descriptors of their own.
burnish.from_record(lambda: nn.Linear(2, 2), burnish.save_record(nn.Linear(2, 2)))
file, small = sys.argv[1:]
burnish.open_record(small)["weight"]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
record = burnish.open_record(file)
tensors = [entry.tensor() for entry in record.entries()]
assert len(tensors) == 80
assert all(int(tensor[-1]) == i for i, tensor in enumerate(tensors))
modules = [
    burnish.from_record(lambda: nn.Linear(512, 512, bias=False), small)
    for _ in range(80)
]
assert all(float(module.weight[0, 0]) == 7 for module in modules)
"""


@pytest.mark.parametrize("suffix", ["mpk", "safetensors", "pt"])
def test_many_tensors_and_many_modules_need_few_descriptors(
    tmp_path: Path, suffix: str
) -> None:
    tensors = {str(i): torch.full((1 << 20,), i).byte() for i in range(80)}
    weight = {"weight": torch.full((512, 512), 7.0)}
    for name, content in (("many", tensors), ("small", weight)):
        file = tmp_path / f"{name}.{suffix}"
        if suffix == "pt":
            torch.save(content, file)
        else:
            Record.from_state_dict(content).save(file)

    files = [str(tmp_path / f"{name}.{suffix}") for name in ("many", "small")]
    done = fresh_processes.run("-c", MANY, *files)

    assert done.returncode == 0, done.stderr
