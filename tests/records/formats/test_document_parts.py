"""An index of parts is a checked document, and a small one."""

from pathlib import Path

import pytest
import torch

from burnish import open_record
from burnish.records import RecordError
from burnish.records.entries.entry import Entry, ParamId
from burnish.records.flat_record import FlatRecord
from burnish.records.record_writer import RecordWriter
from burnish.records.sharded.folder import RecordFolder
from burnish.records.sharded.layout import Layout
from burnish.records.sharded.save_plan import SavePlan
from burnish.records.sharded.saving import write_index
from burnish.records.sharded.shard_index import (
    INDEX,
    PartFile,
    ShardIndex,
    part_name,
)

from ..sharded.folders import write_folder


def test_no_bit_of_an_index_can_change_unnoticed(tmp_path: Path) -> None:
    layout = Layout((2,), (0, 1), ((0, 0),))
    index = write_folder(tmp_path, {"a": torch.arange(4.0)}, layout)
    data = index.read_bytes()

    for i in range(len(data)):
        damaged = bytearray(data)
        damaged[i] ^= 4
        index.write_bytes(damaged)
        with pytest.raises(RecordError):
            _ = open_record(index)["a"]


def test_a_truncated_index_is_refused(tmp_path: Path) -> None:
    layout = Layout((2,), (0, 1), ((0, 0),))
    index = write_folder(tmp_path, {"a": torch.arange(4.0)}, layout)
    data = index.read_bytes()

    for end in range(1, len(data), 7):
        index.write_bytes(data[:end])
        with pytest.raises(RecordError):
            open_record(index)


def test_an_index_takes_100_bytes_a_tensor_and_80_a_file_whatever_their_number(
    tmp_path: Path,
) -> None:
    n_parts = 1024
    layout = Layout((n_parts,), tuple(range(n_parts)), ((0, 0),))
    tensor = torch.empty(4096, 4096, device="meta")
    entries = [
        Entry(
            f"layers.{i}.attention.weight",
            "parameter",
            tensor.dtype,
            (4096, 4096),
            tensor,
            ParamId.draw(),
            requires_grad=True,
        )
        for i in range(10_000)
    ]
    plan = SavePlan(ShardIndex([]))
    plan.index.numbers = [plan.index.number_of(layout)] * len(entries)
    plan.index.parts = [
        PartFile(part_name(i, n_parts, "0" * 8), 1 << 30, bytes(16))
        for i in range(n_parts)
    ]
    folder = RecordFolder(tmp_path)

    write_index(RecordWriter().prepare(FlatRecord.of(entries)), plan, folder)

    size = (tmp_path / INDEX).stat().st_size
    assert size <= 100 * len(entries) + 80 * n_parts
    record = open_record(tmp_path)
    assert len(record.entries()) == 10_000
    assert record.entries()[17].id == entries[17].id
