"""Folders of records that one process writes for the tests, as several would."""

from pathlib import Path

import torch

from burnish.records import FlatRecord
from burnish.records.entries.entry import Entry
from burnish.records.record_writer import RecordWriter
from burnish.records.sharded.folder import RecordFolder
from burnish.records.sharded.layout import Layout, Rectangle
from burnish.records.sharded.save_plan import SavePlan
from burnish.records.sharded.saving import part_file, write_index
from burnish.records.sharded.shard_index import INDEX, ShardIndex, part_name


def write_folder(
    path: Path, tensors: dict[str, torch.Tensor], layout: Layout, save_id: str = "0" * 8
) -> Path:
    """Write tensors as they are spread by one layout; return the index."""
    folder, n_parts = RecordFolder(path), len(layout.parts)
    folder.make()
    writer, index = RecordWriter(), ShardIndex([])
    index.numbers = [index.number_of(layout)] * len(tensors)
    for part in range(n_parts):
        own = {
            name: narrowed(tensor, chunk.rectangle)
            for i, (name, tensor) in enumerate(tensors.items())
            for chunk in layout.chunks(i, tensor.shape)
            if chunk.part == part
        }
        name = part_name(part, n_parts, save_id)
        if own:
            writer.save(record_of(own), folder.file(name))
        index.parts.append(part_file(folder, name) if own else None)
    write_index(writer.prepare(record_of(tensors)), SavePlan(index), folder)
    return path / INDEX


def record_of(tensors: dict[str, torch.Tensor]) -> FlatRecord:
    """Return tensors as parameters of a record."""
    return FlatRecord.from_entries(
        [
            Entry(name, "parameter", tensor.dtype, tuple(tensor.shape), tensor)
            for name, tensor in tensors.items()
        ]
    )


def narrowed(tensor: torch.Tensor, rectangle: Rectangle) -> torch.Tensor:
    """Return the rows of a rectangle as a tensor of its own."""
    for dim, (offset, size) in enumerate(zip(*rectangle, strict=True)):
        tensor = tensor.narrow(dim, offset, size)
    return tensor.contiguous()


def parts_of(folder: Path) -> list[str]:
    """Return the names of the parts in a folder."""
    return sorted(file.name for file in folder.glob("part-*"))
