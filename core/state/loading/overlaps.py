"""Targets of a load that share memory in part, so that writing one changes another."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ....config.process.interrupts import raise_of_signal
from ....records.entries.entry import Entry
from ....records.errors import RecordError
from ....records.tensors.bits import same_bits
from ....records.tensors.memory import (
    ORDINARY,
    contiguous_address,
    is_distributed,
    memory_address,
    spanned_bytes,
    unreadable,
)
from ....records.tensors.torch_internals import (
    local_part,
    negated_view,
    without_subclasses,
)
from ..tensor_writes import copy_into
from .commit import Filling, tensor_of_values
from .plan import LoadStep


@dataclass(frozen=True, slots=True)
class Spans:
    """The first and the last address of the values of each target.

    Both are 0 if it has none. Arrays take an eighth of the memory of a list of pairs.
    """

    starts: "array[int]" = field(default_factory=lambda: array("q"))
    ends: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, start: int, size: int) -> None:
        """Add the addresses of the next target."""
        self.starts.append(start if size else 0)
        self.ends.append(start + size if size else 0)

    def meeting(self, number: int) -> list[int]:
        """Return the numbers of the other targets that overlap with one."""
        start, end = self.starts[number], self.ends[number]
        return [
            i
            for i, (s, e) in enumerate(zip(self.starts, self.ends, strict=True))
            if i != number and s < end and start < e
        ]


def fillable_spans(targets: Iterable[Entry]) -> Spans:
    """Return the address ranges of the targets, all of which must be writable.

    Raises `RecordError` that names every tensor whose memory is not.
    """
    spans = Spans()
    problems: list[str] = []
    # This runs for thousands of tensors at every load, so the usual kind is fast.
    for entry in targets:
        tensor: Tensor = entry.source  # type: ignore[assignment]  # a module's are live
        address = contiguous_address(tensor) if type(tensor) in ORDINARY else 0
        if address:
            spans.add(address, tensor.nbytes)
            continue
        problem = None if is_distributed(tensor) else unreadable(tensor)
        if problem is not None:
            problems.append(f"{entry.path}: {problem}")
        spans.add(*_place_of(tensor))
    if problems:
        raise RecordError("\n".join([*problems, "The module is unchanged."]))
    return spans


@dataclass(frozen=True, slots=True)
class Overwritten:
    """Values that shared memory would not hold at the end of a load."""

    in_memory: Tensor
    """The values that the target has there instead."""
    may_give_way: bool
    """Whether these may replace the stored ones: see `find_overwritten`."""


def find_overwritten(
    steps: Sequence[LoadStep], fillings: Sequence[Filling], spans: Spans
) -> dict[int, Overwritten]:
    """Return the targets, by number, that would not hold their values at the end.

    Buffers are written before parameters, and values stored with few digits before
    those with more. Values of non-persistent buffers may be overwritten by any others,
    and any values by those that differ by the rounding of the dtype in which one of the
    two was stored: a file in half precision has all of a memory rounded, but not a view
    of it.
    """
    overwritten: dict[int, Overwritten] = {}
    for group in _groups(spans):
        group.sort(
            key=lambda i: (
                _RANKS.get(steps[i].target.kind, 2),
                -_unit_of(steps[i].stored.dtype),
                i,
            )
        )
        coarsest = max((steps[i].stored.dtype for i in group), key=_unit_of)
        for i, view in _overwritten_in(group, fillings, spans):
            values = tensor_of_values(fillings[i][1])
            overwritten[i] = Overwritten(
                view.clone(),
                steps[i].target.kind == "transient"
                or _same_when_rounded(view, values, coarsest),
            )
    return overwritten


_RANKS = {"transient": 0, "buffer": 1}
"""The order of writing, by which the values written last remain."""


def _unit_of(dtype: torch.dtype) -> float:
    """Return the spacing of stored numbers near 1; 0 for integers."""
    return (
        torch.finfo(dtype).eps if dtype.is_floating_point or dtype.is_complex else 0.0
    )


def _same_when_rounded(a: Tensor, b: Tensor, dtype: torch.dtype) -> bool:
    """Return whether two floating tensors agree to the precision of ``dtype``."""
    if not (a.is_floating_point() and dtype.is_floating_point):
        return False
    return same_bits(a.to(dtype), b.to(dtype))


class Memory:
    """The memory of some tensors, to find others that share a part of it.

    It compares addresses, not storages, of which overlapping numpy arrays have several.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        # Ranges are merged, so that the last one that starts before an address decides.
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted({_storage_span(tensor) for tensor in tensors}):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            elif start < end:
                self._starts.append(start)
                self._ends.append(end)

    def overlaps(self, tensor: Tensor) -> bool:
        """Return whether the storage of ``tensor`` overlaps with one of theirs."""
        start, end = _storage_span(tensor)
        if start == end:
            return False
        i = bisect_left(self._starts, end)
        return i > 0 and self._ends[i - 1] > start


def _storage_span(tensor: Tensor) -> tuple[int, int]:
    """Return the start and end address of the storage; (0, 0) for an empty one."""
    local = local_part(tensor) if is_distributed(tensor) else tensor
    try:
        with without_subclasses():
            storage = local.untyped_storage()
            start = storage.data_ptr()
            return (start, start + storage.nbytes()) if start else (0, 0)
    except (RuntimeError, ValueError) as error:
        raise_of_signal(error)
        return 0, 0


def _place_of(tensor: Tensor) -> tuple[int, int]:
    """Return the address and the extent of the values; 0 for none."""
    # The shape of a DTensor differs from that of its shard in this process.
    tensor = local_part(tensor) if is_distributed(tensor) else tensor
    try:
        start = memory_address(tensor)
        return start, spanned_bytes(tensor) if start and tensor.numel() else 0
    except RuntimeError as error:
        raise_of_signal(error)
        return 0, 0


def _groups(spans: Spans) -> list[list[int]]:
    """Return the numbers of targets whose address ranges overlap."""
    starts, ends = np.array(spans.starts), np.array(spans.ends)
    order = np.lexsort((ends, starts))
    reaches = np.maximum.accumulate(ends[order])
    groups: list[list[int]] = []
    last_place = -1
    for place in map(int, np.flatnonzero(starts[order][1:] < reaches[:-1]) + 1):
        if place != last_place + 1 or not groups:
            groups.append([int(order[place - 1])])
        groups[-1].append(int(order[place]))
        last_place = place
    return groups


def _overwritten_in(
    group: list[int], fillings: Sequence[Filling], spans: Spans
) -> list[tuple[int, Tensor]]:
    """Write to a copy of the memory, to see whether the order matters.

    Returns the targets that are overwritten, and the values they have at the end.
    """
    base_address = min(spans.starts[i] for i in group)
    base_address -= base_address % 16  # keeps every dtype aligned
    device = fillings[group[0]][0][0].device
    size = max(spans.ends[i] for i in group) - base_address
    scratch = torch.empty(size, dtype=torch.uint8, device=device)
    views: list[Tensor] = []
    for i in group:
        start, end, target = spans.starts[i], spans.ends[i], fillings[i][0][0]
        values = tensor_of_values(fillings[i][1])
        piece = scratch[start - base_address : end - base_address].view(target.dtype)
        view = piece.as_strided(target.shape, target.stride(), piece.storage_offset())
        # Memory may hold conjugated or negated numbers, which the view converts.
        view = view.conj() if target.is_conj() else view
        view = negated_view(view) if target.is_neg() else view
        copy_into(view, values)
        views.append(view)
    return [
        (i, view)
        for i, view in zip(group, views, strict=True)
        # A tensor whose dtype changes gets memory of its own.
        if view.dtype is fillings[i][1].dtype
        and not same_bits(view, tensor_of_values(fillings[i][1]))
    ]
