"""HeldRecords: the entries that can stay in place while they are saved."""

from collections.abc import Sequence
from itertools import compress

import torch

from ..entries.entry import Entry
from ..tensors.memory import ORDINARY, storage_of
from ..tensors.optimizer_steps import stepped_storages
from .lazy_snapshot import HeldTensor, LazySnapshot
from .payload import row_of, stored_size
from .staging import Copies, StagedRecord

LEAST = 64 << 10
"""Smaller tensors are copied, since watching them would take as long."""


class HeldRecords:
    """The entries of several records: those that can stay, and those to be copied.

    An entry can stay if nothing changes it unnoticed: a contiguous tensor in main
    memory that is stored unchanged and belongs to an optimizer whose steps are
    announced. Buffers, tensors of inference mode, tensors shared between processes and
    those of no such optimizer are copied.
    """

    def __init__(self, records: Sequence[StagedRecord]) -> None:
        self._records = records
        storages = stepped_storages(LEAST)
        self._stay = [
            [
                _may_stay(e, d, storages)
                for e, d in zip(r.entries, r.dtypes, strict=True)
            ]
            for r in records
        ]

    @property
    def to_copy(self) -> list[StagedRecord]:
        """The rest of each record, to be copied."""
        to_stage: list[StagedRecord] = []
        for record, stay in zip(self._records, self._stay, strict=True):
            goes = [not stays for stays in stay]
            entries = [*compress(record.entries, goes)]
            dtypes = [*compress(record.dtypes, goes)]
            to_stage.append(record._replace(entries=entries, dtypes=dtypes))
        return to_stage

    @property
    def size(self) -> int:
        """The number of bytes that can stay."""
        return sum(
            stored_size(entry, dtype)
            for record, stay in zip(self._records, self._stay, strict=True)
            for entry, dtype in compress(
                zip(record.entries, record.dtypes, strict=True), stay
            )
        )

    def hold(self, snapshot: LazySnapshot) -> list[list[HeldTensor]]:
        """Let ``snapshot`` hold the entries of each record that can stay."""
        return [
            [
                snapshot.hold(entry.path, entry.source)  # type: ignore[arg-type]  # a tensor, or it may not stay
                for entry in compress(record.entries, stay)
            ]
            for record, stay in zip(self._records, self._stay, strict=True)
        ]

    def join(self, tensors_in_place: list[list[HeldTensor]], copies: Copies) -> Copies:
        """Return all entries of each record, held ones and copies."""
        joined: Copies = []
        for record, stay, tensors, other_entries in zip(
            self._records, self._stay, tensors_in_place, copies, strict=True
        ):
            in_place, copied = iter(tensors), iter(other_entries)
            joined.append(
                [
                    entry.with_payload(next(in_place)) if stays else next(copied)
                    for entry, stays in zip(record.entries, stay, strict=True)
                ]
            )
        return joined


def _may_stay(entry: Entry, dtype: torch.dtype, storages: set[int]) -> bool:
    # A forward pass writes to buffers without an announcement.
    if stored_size(entry, dtype) < LEAST or entry.kind in ("buffer", "transient"):
        return False
    tensor = entry.source
    # A view of booleans may have bytes that a file does not; a tensor of inference mode
    # has no version counter, by which a change is noticed; and a tensor shared between
    # processes may be stepped by one that does not wait for this one's writer.
    return (
        isinstance(tensor, torch.Tensor)
        and type(tensor) in ORDINARY
        and tensor.dtype is dtype
        and dtype is not torch.bool
        and tuple(tensor.shape) == entry.shape
        and row_of(tensor) != 0
        and not tensor.is_inference()
        and not tensor.untyped_storage().is_shared()
        and storage_of(tensor) in storages
    )
