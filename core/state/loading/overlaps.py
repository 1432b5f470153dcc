"""Targets of a load that share a part of their memory, so that one writes another."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ....records.entries.entry import Entry
from ....records.tensors.memory import (
    ORDINARY,
    address_of,
    is_distributed,
    same_bits,
    spanned_bytes,
)
from ....records.tensors.torch_internals import (
    local_part,
    negated_view,
    without_subclasses,
)
from ..tensor_writes import copy_into
from .commit import Filling


def find_overwritten(
    targets: Sequence[Entry], fillings: Sequence[Filling]
) -> list[int]:
    """Return the numbers of the targets that would not hold their values at the end.

    The values of non-persistent buffers give way to all others.
    """
    numbers: list[int] = []
    for group in _groups(fillings):
        group.sort(key=lambda i: (targets[i].kind != "transient", i))
        numbers += _overwritten_in(group, fillings)
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


def _groups(fillings: Sequence[Filling]) -> list[list[int]]:
    """Return the numbers of targets whose addresses run into each other."""
    spans = sorted([(*_span(f[0][0]), i) for i, f in enumerate(fillings)])
    groups: list[list[int]] = []
    reach = previous = 0
    group: list[int] | None = None
    for start, end, i in spans:
        if start >= reach:
            group = None
        elif group is None:
            group = [previous, i]
            groups.append(group)
        else:
            group.append(i)
        reach, previous = max(reach, end), i
    return groups


def _span(tensor: Tensor) -> tuple[int, int]:
    """Return at which addresses the values lie; (0, 0) where there are none."""
    # Thousands pass here at every load: the usual kind is asked directly.
    try:
        is_usual = type(tensor) in ORDINARY and tensor.is_contiguous()
        start = tensor.data_ptr() if is_usual else address_of(tensor)
    except RuntimeError:
        return 0, 0
    if not start or not tensor.numel():
        return 0, 0
    if is_usual:
        return start, start + tensor.nbytes
    return start, start + spanned_bytes(tensor)


def _overwritten_in(group: list[int], fillings: Sequence[Filling]) -> list[int]:
    """Try it on a copy of the memory: the values say whether the order matters."""
    spans = [_span(fillings[i][0][0]) for i in group]
    base_address = min(start for start, _ in spans)
    base_address -= base_address % 16  # so that every dtype stays aligned
    device = fillings[group[0]][0][0].device
    size = max(end for _, end in spans) - base_address
    scratch = torch.empty(size, dtype=torch.uint8, device=device)
    views: list[Tensor] = []
    for i, (start, end) in zip(group, spans, strict=True):
        target, values = fillings[i][0][0], fillings[i][1]
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
        if view.dtype is fillings[i][1].dtype and not same_bits(view, fillings[i][1])
    ]
