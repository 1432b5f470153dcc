"""Targets of a load that share a part of their memory, so that one writes another."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import count
from typing import TypeAlias

import torch
from torch import Tensor

from ....records.entries.entry import Entry
from ....records.errors import RecordError
from ....records.tensors.memory import (
    ORDINARY,
    contiguous_address,
    is_distributed,
    memory_address,
    same_bits,
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

Span: TypeAlias = tuple[int, int]
"""From which address up to which one values lie; (0, 0) where there are none."""


def fillable_spans(targets: Iterable[Entry]) -> list[Span]:
    """Return where the values of each lie, of whose tensors all can be filled.

    Raises `RecordError` that names every tensor whose memory cannot be.
    """
    spans: list[Span] = []
    problems: list[str] = []
    # Thousands pass here at every load: the usual kind is asked one question.
    for entry in targets:
        tensor: Tensor = entry.source  # type: ignore[assignment]  # a module's are live
        address = contiguous_address(tensor) if type(tensor) in ORDINARY else 0
        if address:
            spans.append((address, address + tensor.nbytes) if tensor.nbytes else _NONE)
            continue
        problem = None if is_distributed(tensor) else unreadable(tensor)
        if problem is not None:
            problems.append(f"{entry.path}: {problem}")
        spans.append(_span(tensor))
    if problems:
        raise RecordError("\n".join([*problems, "The module is as it was."]))
    return spans


def find_overwritten(
    targets: Sequence[Entry], fillings: Sequence[Filling], spans: Sequence[Span]
) -> list[int]:
    """Return the numbers of the targets that would not hold their values at the end.

    The values of non-persistent buffers give way to all others.
    """
    numbers: list[int] = []
    for group in _groups(spans):
        group.sort(key=lambda i: (targets[i].kind != "transient", i))
        numbers += _overwritten_in(group, fillings, spans)
    return numbers


class Memory:
    """The memory of some tensors: whether another tensor stands on a part of it.

    By addresses, not by storages: arrays of numpy that overlap have several.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        # Merged, so that the one that begins last before an address decides.
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted({_storage_span(tensor) for tensor in tensors}):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            elif start < end:
                self._starts.append(start)
                self._ends.append(end)

    def overlaps(self, tensor: Tensor) -> bool:
        """Return whether the storage of ``tensor`` is, in part, one of theirs."""
        start, end = _storage_span(tensor)
        if start == end:
            return False
        i = bisect_left(self._starts, end)
        return i > 0 and self._ends[i - 1] > start


def _storage_span(tensor: Tensor) -> tuple[int, int]:
    """Return from where to where the storage reaches; (0, 0) for one without bytes."""
    local = local_part(tensor) if is_distributed(tensor) else tensor
    try:
        with without_subclasses():
            storage = local.untyped_storage()
            start = storage.data_ptr()
            return (start, start + storage.nbytes()) if start else (0, 0)
    except (RuntimeError, ValueError):
        return 0, 0


_NONE: Span = (0, 0)


def _span(tensor: Tensor) -> Span:
    # The shape of a DTensor says nothing of what lies in this process.
    tensor = local_part(tensor) if is_distributed(tensor) else tensor
    try:
        start = memory_address(tensor)
        if not start or not tensor.numel():
            return _NONE
        return start, start + spanned_bytes(tensor)
    except RuntimeError:
        return _NONE


def _groups(spans: Sequence[Span]) -> list[list[int]]:
    """Return the numbers of targets whose addresses run into each other."""
    groups: list[list[int]] = []
    reach = previous = 0
    group: list[int] | None = None
    for (start, end), i in sorted(zip(spans, count(), strict=False)):
        if start >= reach:
            group = None
        elif group is None:
            group = [previous, i]
            groups.append(group)
        else:
            group.append(i)
        reach, previous = max(reach, end), i
    return groups


def _overwritten_in(
    group: list[int], fillings: Sequence[Filling], spans: Sequence[Span]
) -> list[int]:
    """Try it on a copy of the memory: the values say whether the order matters."""
    base_address = min(spans[i][0] for i in group)
    base_address -= base_address % 16  # so that every dtype stays aligned
    device = fillings[group[0]][0][0].device
    size = max(spans[i][1] for i in group) - base_address
    scratch = torch.empty(size, dtype=torch.uint8, device=device)
    views: list[Tensor] = []
    for i in group:
        (start, end), target = spans[i], fillings[i][0][0]
        values = tensor_of_values(fillings[i][1])
        piece = scratch[start - base_address : end - base_address].view(target.dtype)
        view = piece.as_strided(target.shape, target.stride(), piece.storage_offset())
        # Numbers may lie there conjugated or negated, and the view turns them back.
        view = view.conj() if target.is_conj() else view
        view = negated_view(view) if target.is_neg() else view
        copy_into(view, values)
        views.append(view)
    return [
        i
        for i, view in zip(group, views, strict=True)
        # One that changes its dtype gets memory of its own.
        if view.dtype is fillings[i][1].dtype
        and not same_bits(view, tensor_of_values(fillings[i][1]))
    ]
