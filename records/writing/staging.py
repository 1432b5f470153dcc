"""Staging: memory that records are copied to, to be written while they change."""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from ...config.process.interrupts import has_handlers
from ..entries.entry import Entry
from ..errors import RecordError
from ..precision import RecordPrecision
from ..tensors.flat_pieces import row_major_pieces
from ..tensors.grad_mode import no_grad, ordinary_tensors
from ..tensors.memory import ORDINARY
from ..tensors.torch_internals import copy_tensors
from .device_copies import in_main_memory
from .payload import (
    CHUNK,
    convert_piece,
    resized,
    row_of,
    stored_size,
    stored_tensor,
)
from .row_copies import RowCopy, copy_rows

_SHORT = 64 << 10
"""Tensors up to this many bytes are copied together, in one call of torch."""

_ALIGNMENT = 64
"""Alignment of each tensor in the memory, in bytes: a cache line."""

Copies: TypeAlias = list[list[Entry]]
"""The entries of each record, in the staging memory."""


class StagedRecord(NamedTuple):
    """The entries of a record that is to be copied, and how they are stored."""

    entries: list[Entry]
    dtypes: list[torch.dtype]
    precision: RecordPrecision
    note: str = ""
    """The record's place, added to its errors."""


class Staging:
    """Memory for one copy of what is saved, reused from save to save.

    New memory costs three times as much as copying, since the system allocates it page
    by page. The code that makes copies owns the memory until it is returned; if it is
    in use, new memory is allocated, so that no two snapshots ever share it.
    """

    def __init__(self) -> None:
        self._spare: list[Tensor] = []

    def prepare(self, records: Sequence[StagedRecord]) -> None:
        """Allocate memory for ``records``, with every page touched."""
        memory = self._take(sum(_sizes(records)))
        self.give_back(memory.zero_())

    def copy(self, records: Sequence[StagedRecord]) -> tuple[Copies, Tensor]:
        """Return the records' entries with their present values, and their memory.

        Values are converted on the way. Raises `RecordError` for a tensor without
        values, and `PrecisionError` for one that its dtype cannot hold.
        """
        sizes = _sizes(records)
        memory = self._take(sum(sizes))
        rows = _rows(memory, [t for r in records for t in r.dtypes], sizes)
        filling = _Filling()
        copies: Copies = []
        with no_grad():
            for record in records:
                try:
                    copies.append(filling.add(record, rows))
                except RecordError as error:
                    if record.note:
                        error.add_note(record.note)
                    raise
            filling.make()
        return copies, memory

    def give_back(self, memory: Tensor) -> None:
        """Keep ``memory``, which is no longer used, for the next copy."""
        self._spare[:] = [memory]

    def free(self) -> None:
        """Release the unused memory."""
        self._spare.clear()

    def _take(self, size: int) -> Tensor:
        """Return at least ``size`` bytes, which are not shared from now on."""
        # This is atomic: of two threads, one gets it. Memory that is too small is freed
        # before more is allocated.
        with suppress(IndexError):
            memory = self._spare.pop()
            if len(memory) >= size:
                return memory
            del memory
        with ordinary_tensors():
            return torch.empty(size, dtype=torch.uint8, device="cpu")


def _sizes(records: Sequence[StagedRecord]) -> list[int]:
    """Return the size of each entry's memory, in bytes."""
    return [
        -(-stored_size(entry, dtype) // _ALIGNMENT) * _ALIGNMENT
        for record in records
        for entry, dtype in zip(record.entries, record.dtypes, strict=True)
    ]


def _rows(
    memory: Tensor, dtypes: Sequence[torch.dtype], sizes: Sequence[int]
) -> Iterator[Tensor]:
    """Return the memory of each entry, as values of its dtype."""
    start = 0
    for dtype, run in groupby(zip(dtypes, sizes, strict=True), itemgetter(0)):
        lengths = [size // dtype.itemsize for _, size in run]
        stop = start + sum(lengths) * dtype.itemsize
        # One call of torch creates the memory of all entries of one dtype.
        yield from torch.split(memory[start:stop].view(dtype), lengths)
        start = stop


class _Filling:
    """The entries' places in the memory, and the tensors whose values they get."""

    def __init__(self) -> None:
        self._is_alone = not has_handlers()
        self._targets: list[Tensor] = []
        self._sources: list[Tensor] = []

    def add(self, record: StagedRecord, rows: Iterator[Tensor]) -> list[Entry]:
        """Return the entries of ``record`` over ``rows``, which `make` fills."""
        copies: list[Entry] = []
        for entry, dtype in zip(record.entries, record.dtypes, strict=True):
            row = next(rows)
            count = math.prod(entry.shape)
            row = row if row.numel() == count else row[:count]
            target = row.view(entry.shape)
            # The usual case first: a live, contiguous tensor.
            tensor: Any = entry.source
            if type(tensor) not in ORDINARY or not row_of(tensor):
                tensor = stored_tensor(entry)
            if tensor.shape != entry.shape:
                raise resized(entry, tensor)
            is_far = not tensor.is_cpu and tensor.nbytes > _SHORT
            if tensor.dtype is not dtype or is_far:
                _convert(entry, tensor, row, record.precision, is_alone=self._is_alone)
            elif entry.is_stored:
                # Values read from a file are released immediately.
                target.copy_(tensor)
            else:
                self._targets.append(target)
                self._sources.append(tensor)
            copies.append(entry.with_tensor(target))
        return copies

    def make(self) -> None:
        """Copy large rows by several threads, and all others in one call."""
        rows: list[RowCopy] = []
        pairs: list[tuple[Tensor, Tensor]] = []
        for target, source in zip(self._targets, self._sources, strict=True):
            address = row_of(source) if source.nbytes > _SHORT else 0
            if address:
                rows.append(RowCopy(target.data_ptr(), address, source.nbytes))
            else:
                pairs.append((target, source))
        copy_rows(rows, self)
        if pairs:
            copy_tensors([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def _convert(
    entry: Entry,
    tensor: Tensor,
    row: Tensor,
    precision: RecordPrecision,
    *,
    is_alone: bool,
) -> None:
    """Convert a tensor into ``row``, in portions that fit a core's cache."""
    start = 0
    pieces = row_major_pieces(tensor.detach(), CHUNK // row.itemsize)
    for piece in in_main_memory(pieces, tensor.device):
        out = row[start : start + piece.numel()]
        convert_piece(piece, out, entry, tensor, precision, is_alone=is_alone)
        start += piece.numel()
