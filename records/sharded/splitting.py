"""split_record: a record in a folder, as if several processes had saved it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..entries.encoder import Storable
from ..entries.entry import Entry
from ..io.lazy_payload import LazyPayload, SumInOrder
from ..io.progress import PartsProgress, Progress, progress_call
from ..io.save_handle import join_saves
from ..io.source import Maps
from ..record_writer import RecordWriter, WritableRecord
from ..tensors.flat_pieces import flat_pieces
from ..tensors.memory import values_of
from ..writing.payload import is_piecewise
from .layout import Layout, Rectangle
from .pieces import FlatValues, rows_of
from .remote_folder import record_folder
from .save_plan import SavePlan
from .saving import part_record, write_index, write_part
from .shard_index import IN_FIRST, ShardIndex, new_save_id, part_name

MOST_PARTS = 99_999
"""Maximal number of parts, by the digits in their names."""


def split_record(
    record: Storable, path: str, n_parts: int, progress: Progress | None = None
) -> None:
    """Write ``record`` into the folder ``path``, its tensors sharded by rows.

    Buffers, and tensors without rows, are in the first part. A few MiB of a tensor are
    in memory at a time, for JSON a few of each. Every byte is compared with its
    checksum before the index is written: until then, and if anything fails, the folder
    keeps its old content. ValueError for less than one part.
    """
    if not 1 <= n_parts <= MOST_PARTS:
        raise ValueError(
            f"a folder must have from 1 to {MOST_PARTS:,} parts, got {n_parts:,}"
        )
    folder = record_folder(path)
    join_saves(folder.path)
    writable = RecordWriter().prepare(record)
    layout = Layout((n_parts,), tuple(range(n_parts)), ((0, 0),))
    rows = [RowsInOrder(entry) for entry in writable.entries.entries()]
    index, save_id = ShardIndex([]), new_save_id()
    index.numbers = [
        index.number_of(layout) if each.is_cut else IN_FIRST for each in rows
    ]
    folder.make()
    with folder.claim(save_id):
        try:
            progress_parts = PartsProgress(
                progress_call(progress), sum(r.entry.nbytes for r in rows)
            )
            for number in range(n_parts):
                part = _part(writable, rows, layout, number)
                name = part_name(number, n_parts, save_id)
                index.parts.append(
                    write_part(part, folder, name, progress_parts.of_next())
                )
            write_index(writable, SavePlan(index), folder)
        except BaseException:
            folder.remove_parts(index.parts)
            raise
        folder.remove_old(save_id)


def _part(
    record: WritableRecord, rows: "list[RowsInOrder]", layout: Layout, number: int
) -> WritableRecord:
    entries: list[Entry] = []
    for each in rows:
        if not each.is_cut:
            if number == 0:
                entries.append(each.of_part(each.entry.shape, each.entry.source))
            continue
        rectangle = layout.rectangle(each.entry.shape, (number,))
        if rectangle.n_values:
            entries.append(each.share(rectangle))
    return part_record(record, entries)


class RowsInOrder:
    """A stored entry whose rows are written to one part after the other."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.is_cut = bool(entry.shape) and entry.kind not in ("buffer", "transient")
        self._total = SumInOrder()
        self._in_order: FlatValues | None = None
        self._at = 0

    def share(self, rectangle: Rectangle) -> Entry:
        """Return rows as an entry of a part; parts must be written in order."""
        return self.of_part(rectangle.sizes, _Share(self, rectangle))

    def of_part(self, shape: tuple[int, ...], source: Any) -> Entry:
        """Return the entry of a part; IDs and frozen flags are in the index."""
        entry = self.entry
        return Entry(
            entry.path, entry.kind, entry.dtype, shape, source, ties=entry.ties
        )

    def values(self, rectangle: Rectangle) -> Iterator[Tensor]:
        """Yield these rows as flat tensors, each valid until the next.

        RecordChecksumError after the last rows, if the values read have another
        checksum.
        """
        source = self.entry.source
        start = rectangle.offsets[0] * math.prod(self.entry.shape[1:])
        if isinstance(source, LazyPayload):
            yield from source.run(start, rectangle.n_values, self._total)
        elif is_piecewise(self.entry) and start == self._at:
            # A JSON file shows where its values are once those before them were read.
            n_values = math.prod(self.entry.shape)
            self._in_order = self._in_order or FlatValues(self.entry.blocks(), n_values)
            self._at = start + rectangle.n_values
            yield from self._in_order.take(rectangle.n_values)
        else:
            values = values_of(self.entry.read_stored(), self.entry.path).detach()
            yield from flat_pieces(rows_of(values, rectangle))


@dataclass(slots=True, eq=False)
class _Share:
    """Rows of an entry, to be written into a part."""

    rows: RowsInOrder
    rectangle: Rectangle

    is_piecewise: ClassVar[bool] = True
    is_live: ClassVar[bool] = False

    def blocks(self) -> Iterator[Tensor]:
        """Yield the values as `Entry.blocks` does."""
        return self.rows.values(self.rectangle)

    def load(self, maps: Maps | None = None) -> Tensor:
        """Return all of them, as small ones are written."""
        pieces = [piece.clone() for piece in self.blocks()]
        return torch.cat(pieces).view(self.rectangle.sizes)
