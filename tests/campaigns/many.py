"""A file of very many small entries, written and read."""

import tempfile
from pathlib import Path

import torch

from burnish import open_record
from burnish.records.entries.entry import Entry, ParamId
from burnish.records.flat_record import FlatRecord
from burnish.records.recorder import Recorder


def come_back(n: int, name: str) -> bool:
    """Return whether ``n`` entries of 4 bytes are read as they were written."""
    values = torch.arange(n, dtype=torch.float32)
    scalars = zip(values.unbind(), ParamId.draw_many(n), strict=True)
    entries = [
        Entry(f"layers.{i}.w", "parameter", value.dtype, (), value, id_, True)
        for i, (value, id_) in enumerate(scalars)
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"many.{name}"
        Recorder(name).save(FlatRecord.of(entries, type_name="Many"), file)
        record = open_record(file)
        record.load_all()
        found = record.entries()
        return [(e.path, e.id) for e in found] == [
            (e.path, e.id) for e in entries
        ] and torch.equal(torch.stack([e.tensor() for e in found]), values)
