"""SavePlan: what one of several processes writes of a record, and the index.

Every process computes the same index from meshes and placements alone. If these do not
determine it, each sends its rectangles to the others.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import xxhash

from ..entries.entry import Entry
from ..errors import RecordError
from ..processes.messages import n_processes
from ..tensors.dtypes import name_of_dtype
from ..tensors.shares import own_share
from ..writing.payload import byte_view
from .layout import Chunk, Layout, Rectangle
from .placement import layout_of, rectangle_by_torch, rectangle_of
from .shard_index import IN_CHUNKS, IN_FIRST, ShardIndex, is_cover


@dataclass(slots=True)
class SavePlan:
    """An index without parts, and the entries of this process's own part."""

    index: ShardIndex
    own_entries: list[Entry] = field(default_factory=list[Entry])

    def add_whole(self, entry: Entry, rank: int) -> None:
        """Let process 0 write ``entry``, which is not a DTensor."""
        self.index.numbers.append(IN_FIRST)
        if rank == 0:
            self.own_entries.append(_own_entry(entry))

    @property
    def digest(self) -> bytes:
        """Return 8 bytes that are equal for equal indexes."""
        layouts = [(e.grid, e.parts, e.cuts) for e in self.index.layouts]
        return value_digest([layouts, self.index.numbers])


def is_spread(entry: Entry) -> bool:
    """Return whether the entry is a DTensor, of which processes have parts."""
    return hasattr(entry.source, "device_mesh")


def plan_by_layout(entries: Sequence[Entry], rank: int) -> SavePlan | None:
    """Return the plan by meshes and placements; None if they do not determine it.

    Entries other than DTensors are written by process 0.
    """
    plan = SavePlan(ShardIndex([]))
    numbers: dict[Layout, int] = {}
    for row, entry in enumerate(entries):
        if not is_spread(entry):
            plan.add_whole(entry, rank)
            continue
        tensor: Any = entry.source
        # Several processes whose group has ended, or was not passed, are alone here.
        if tensor.device_mesh.size() > n_processes():
            return None
        layout = layout_of(tensor, entry.path)
        if layout is None or rectangle_of(tensor, entry.path) is None:
            return None
        if layout not in numbers:
            numbers[layout] = plan.index.number_of(layout)
        plan.index.numbers.append(numbers[layout])
        share = own_share(tensor)
        place = tensor.device_mesh.get_coordinate()
        if share.numel() and layout.writes(row, place):
            plan.own_entries.append(_own_entry(entry))
    return plan


def own_rectangles(entries: Sequence[Entry]) -> bytes:
    """Return this process's rectangles of all DTensors, as a message.

    Each comes with a digest, since processes may hold the same rows of different
    tensors.
    """
    rectangles: list[Any] = []
    for entry in entries:
        if is_spread(entry):
            tensor: Any = entry.source
            rectangle = rectangle_of(tensor, entry.path) or rectangle_by_torch(
                tensor, entry.path
            )
            is_here = tensor.device_mesh.get_coordinate() is not None
            is_any = is_here and rectangle.n_values
            digest = corner_digest(own_share(tensor).detach()).hex() if is_any else ""
            rectangles.append([*rectangle, digest] if is_any else None)
    return json.dumps(rectangles, separators=(",", ":")).encode()


def own_copies(entries: Sequence[Entry]) -> list[tuple[Any, str]]:
    """Return this process's rows of parameters that a mesh replicates.

    Each comes with a digest, as processes with the same rows take turns to write them.
    """
    copies: list[tuple[Any, str]] = []
    for row, entry in enumerate(entries):
        if entry.kind != "parameter" or not is_spread(entry):
            continue
        tensor: Any = entry.source
        rectangle = rectangle_of(tensor, entry.path) if _is_copied(tensor) else None
        if rectangle is not None and rectangle.n_values:
            digest = corner_digest(own_share(tensor).detach()).hex()
            copies.append(([row, *map(list, rectangle)], digest))
    return copies


def _is_copied(tensor: Any) -> bool:
    """Return whether several processes of its mesh have the same rows of a DTensor."""
    mesh = tensor.device_mesh
    return any(
        placement.is_replicate() and mesh.size(dim) > 1
        for dim, placement in enumerate(tensor.placements)
    )


def plan_by_rectangles(
    entries: Sequence[Entry], messages: Sequence[bytes], rank: int
) -> SavePlan:
    """Return the plan by the rectangles that every process has sent.

    Those with equal ones take turns. RecordError for some that overlap, and for the
    same rows with different values.
    """
    plan = SavePlan(ShardIndex([]))
    rectangles_by_process = [json.loads(message) for message in messages]
    n_spread = 0
    for row, entry in enumerate(entries):
        if not is_spread(entry):
            plan.add_whole(entry, rank)
            continue
        holders = _holders([r[n_spread] for r in rectangles_by_process], entry.path)
        n_spread += 1
        chunks = [
            Chunk(processes[row % len(processes)], rectangle)
            for rectangle, processes in holders.items()
        ]
        if not is_cover(chunks, entry.shape):
            raise RecordError(
                f"{entry.path}: what the processes hold of it, "
                f"{sorted(holders)}, does not cover shape {entry.shape} exactly "
                f"once; nothing was written. {len(messages)} save together: all "
                "processes that hold the module must save, as one group, before "
                "their process group is destroyed"
            )
        plan.index.numbers.append(IN_CHUNKS)
        plan.index.chunks[row] = chunks
        if any(chunk.part == rank for chunk in chunks):
            plan.own_entries.append(_own_entry(entry))
    return plan


def _holders(rectangles: Sequence[Any], path: str) -> dict[Rectangle, list[int]]:
    """Return which processes hold each rectangle of the entry at ``path``.

    ``rectangles`` are those sent by each process, None if it holds nothing of it.
    """
    holders: dict[Rectangle, list[int]] = {}
    digests: dict[Rectangle, str] = {}
    for process, row in enumerate(rectangles):
        if row is not None:
            offsets, sizes, digest = row
            rectangle = Rectangle(tuple(offsets), tuple(sizes))
            holders.setdefault(rectangle, []).append(process)
            if digests.setdefault(rectangle, digest) != digest:
                raise other_values(path)
    return holders


_CORNER = 64 << 10
"""Bytes of a tensor that are compared completely."""


def corner_digest(tensor: torch.Tensor) -> bytes:
    """Return 8 bytes of the values of a tensor, for a large one of its corner alone.

    Values that were initialized or trained separately already differ there.
    """
    if tensor.nbytes > _CORNER:
        most = 32 if tensor.ndim <= 2 else 8
        for dim, size in enumerate(tensor.shape):
            tensor = tensor.narrow(dim, 0, min(size, most))
    return tensor_digest(tensor)


def tensor_digest(tensor: torch.Tensor) -> bytes:
    """Return 8 bytes that identify the values of a tensor."""
    # A view keeps no memory alive: a copy must live until it was read.
    values = tensor.cpu().resolve_conj().resolve_neg().contiguous()
    return xxhash.xxh3_64_digest(byte_view(values))


def other_values(paths: str) -> RecordError:
    """Return the error for processes that have different values of one tensor."""
    return RecordError(
        f"{paths}: the processes hold different values, but a folder can store "
        "only those of one process. If each has its own module (a pipeline "
        "stage, experts), it must save to its own folder, with group=; if they "
        "are copies, make them equal first (torch.distributed.broadcast). "
        "Nothing was written"
    )


def value_digest(value: object) -> bytes:
    """Return 8 bytes that identify plain data."""
    return xxhash.xxh3_64_digest(json.dumps(value).encode())


def entry_rows(
    entries: Sequence[Entry], dtypes: Sequence[torch.dtype]
) -> list[list[Any]]:
    """Return the facts about their entries in which all processes must agree."""
    return [
        [entry.path, entry.kind, name_of_dtype(dtype), *entry.shape, is_spread(entry)]
        for entry, dtype in zip(entries, dtypes, strict=True)
    ]


def difference(
    rows: Sequence[Any], other_rows: Sequence[Any], process: int
) -> RecordError:
    """Return the error for two processes that hold different records."""
    n_equal = next(
        (i for i, (a, b) in enumerate(zip(rows, other_rows, strict=False)) if a != b),
        min(len(rows), len(other_rows)),
    )
    ours, theirs = (
        _in_words(each[n_equal]) if n_equal < len(each) else "nothing more"
        for each in (rows, other_rows)
    )
    return RecordError(
        f"the processes hold different records: entry {n_equal} is {ours} in process "
        f"0, {theirs} in process {process}. All must save the same module; nothing was "
        "written"
    )


def _in_words(row: Sequence[Any]) -> str:
    path, kind, dtype, *shape, is_dtensor = row
    spread = ", a DTensor" if is_dtensor else ""
    return f"{path!r:.80} ({kind} {dtype} {tuple(shape)}{spread})"


def _own_entry(entry: Entry) -> Entry:
    """Return what this process writes of an entry: its own share."""
    share = entry.source
    if isinstance(share, torch.Tensor) and is_spread(entry):
        share = own_share(share).detach()
    shape = tuple(share.shape) if isinstance(share, torch.Tensor) else entry.shape
    return Entry(entry.path, entry.kind, entry.dtype, shape, share, ties=entry.ties)
