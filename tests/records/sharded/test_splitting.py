"""One process cuts a record into parts that any number of others would have written."""

import tracemalloc
from pathlib import Path

import pytest
import torch
from torch import nn

import burnish
from burnish.records import RecordChecksumError, open_record
from burnish.records.entries.entries import path_index
from burnish.records.sharded.splitting import split_record

from .folders import parts_of


class Net(nn.Module):
    """Parameters with and without rows, fewer rows than parts, a buffer, a tie."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(5)
        self.head = nn.Linear(7, 5)
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.tied = self.head.weight


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    burnish.save_record(Net(), tmp_path / "net.mpk", metadata={"epoch": 3})
    return tmp_path / "net.mpk"


def split(file: Path, folder: Path, n_parts: int) -> None:
    with open_record(file) as record:
        split_record(record, str(folder), n_parts)


@pytest.mark.parametrize("n_parts", [1, 2, 3, 8])
def test_the_folder_has_what_the_file_has(file: Path, n_parts: int) -> None:
    folder = file.with_name("net")

    split(file, folder, n_parts)

    assert burnish.diff(file, folder).same
    with open_record(folder) as record, open_record(file) as expected:
        assert record.metadata["epoch"] == 3
        assert [e.id for e in record.entries()] == [e.id for e in expected.entries()]
        assert [e.ties for e in record.entries()] == [
            e.ties for e in expected.entries()
        ]
    assert len(parts_of(folder)) == min(n_parts, 5)


@pytest.mark.parametrize("suffix", [".mpk.zst", ".json", ".safetensors"])
def test_other_formats_are_cut_too(file: Path, suffix: str) -> None:
    other = file.with_suffix(suffix)
    open_record(file).save(other)

    split(other, file.with_name("net"), 3)

    assert burnish.diff(file, file.with_name("net")).same


def test_each_part_has_its_rows(file: Path) -> None:
    folder = file.with_name("net")
    split(file, folder, 2)

    shapes = [
        {e.path: e.shape for e in open_record(folder / part).entries()}
        for part in parts_of(folder)
    ]

    assert shapes[0]["tied"] == (3, 7)
    assert shapes[1] == {
        "norm.weight": (2,),
        "norm.bias": (2,),
        "tied": (2, 7),
        "head.bias": (2,),
    }


def test_a_damaged_byte_leaves_the_folder_as_it_was(file: Path) -> None:
    folder = file.with_name("net")
    split(file, folder, 3)
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    with open_record(file) as record:
        payload = path_index(record)["tied"].source
        at = payload.place  # type: ignore[union-attr]  # of a file
    data = bytearray(file.read_bytes())
    data[at + 100] ^= 64  # type: ignore[operator]  # of one piece
    file.write_bytes(data)

    with pytest.raises(RecordChecksumError, match="tied"):
        split(file, folder, 2)

    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def test_a_few_rows_are_in_memory(tmp_path: Path) -> None:
    burnish.save_record({"w": torch.rand(4 << 20)}, tmp_path / "w.mpk")
    with open_record(tmp_path / "w.mpk", mmap=False) as record:
        tracemalloc.start()
        split_record(record, str(tmp_path / "w"), 2)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert most < 6 << 20
    assert burnish.diff(tmp_path / "w.mpk", tmp_path / "w").same


@pytest.mark.parametrize("n_parts", [0, -1, 100_000])
def test_numbers_of_parts_that_cannot_be_are_refused(file: Path, n_parts: int) -> None:
    with pytest.raises(ValueError, match="must have from 1 to 99,999 parts"):
        split(file, file.with_name("net"), n_parts)

    assert not file.with_name("net").exists()


@pytest.mark.parametrize(
    ("suffix", "n_parts"), [(".mpk.zst", 2), (".mpk.zst", 5), (".json", 3)]
)
def test_no_large_tensor_is_whole_in_memory_of_whatever_format(
    tmp_path: Path, suffix: str, n_parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"w{suffix}"
    n = 1_100_003  # of values, in blocks that no part begins with
    values = torch.rand(n, 2)
    burnish.save_record({"w": values, "v": values.bfloat16()}, file)

    with monkeypatch.context() as patch, open_record(file) as record:
        for entry in record.entries():
            patch.setattr(type(entry.source), "load", _refuse)
        split_record(record, str(tmp_path / "w"), n_parts)

    assert burnish.diff(file, tmp_path / "w").same


def _refuse(*_: object) -> None:
    raise AssertionError("a tensor is read whole")


def test_the_sum_of_compressed_values_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    burnish.save_record({"w": torch.rand(2_000_000)}, tmp_path / "w.mpk.zst")

    with open_record(tmp_path / "w.mpk.zst") as record:
        payload = record.entries()[0].source
        monkeypatch.setattr(
            type(payload), "stored_sum", property(lambda _: b"another.")
        )
        with pytest.raises(RecordChecksumError, match="w"):
            split_record(record, str(tmp_path / "w"), 3)

    assert not (tmp_path / "w/index.mpk").exists()
