"""Parameters that share memory with others, or with gradients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....config.process.interrupts import raise_of_signal
from ....records.tensors.memory import is_dense, spanned_bytes
from .tensor_form import is_plain_tensor


class Entanglement:
    """Whether any parameters of several groups share memory, checked at each step."""

    def __init__(self) -> None:
        self._addresses: list[int] = []
        self._starts = self._ends = self._sizes = np.empty(0, dtype=np.int64)
        self._is_dense = True

    def is_there(self, params: list[Tensor], grads: list[Tensor]) -> bool:
        """Return whether a parameter shares memory with another, or with a gradient."""
        try:
            addresses = list(map(_address, params))
            low = np.fromiter(map(_address, grads), np.int64, len(grads))
        except RuntimeError as error:
            raise_of_signal(error)
            # A sparse gradient, or a fake tensor, has no address.
            return bool(entangled(params, grads))
        # This runs at every step, and tensors seldom move: ranges are sorted again only
        # then.
        if addresses != self._addresses:
            self._addresses = addresses
            self._look_at(params)
        if not self._is_dense:
            return bool(entangled(params, grads))
        return do_ranges_meet(self._starts, self._ends, low, low + self._sizes)

    def _look_at(self, params: list[Tensor]) -> None:
        self._is_dense = all(map(is_dense, params))
        starts = np.array(self._addresses, dtype=np.int64)
        self._sizes = sizes = np.array([p.nbytes for p in params], dtype=np.int64)
        order = np.argsort(starts, kind="stable")
        # Nothing has the address 0: empty tensors, and those of the meta device.
        order = order[(sizes[order] > 0) & (starts[order] > 0)]
        self._starts, self._ends = starts[order], starts[order] + sizes[order]


_address = Tensor.data_ptr


def entangled(params: Sequence[Tensor], grads: Sequence[Tensor | None]) -> set[int]:
    """Return the indices of parameters that have to be stepped one after the other.

    They, or their gradients, share memory with others: each may read what another
    wrote.
    """
    # A parameter without a gradient is not stepped: no step reads or writes it.
    present = [i for i, grad in enumerate(grads) if grad is not None]
    places = [_extent(params[i]) for i in present]
    places += [_extent(grads[i]) for i in present]  # type: ignore[arg-type]  # it is there
    if not _overlap(places):
        return set()
    owned = zip(places, [*present, *present], strict=True)
    n = len(present)
    ranges = [(*p, i, k < n) for k, (p, i) in enumerate(owned) if p[0] < p[1]]
    return _clustered(sorted(ranges))


def overlaps_itself(tensor: Tensor) -> bool:
    """Return whether two elements of a tensor have the same address."""
    if tensor.layout is not torch.strided or tensor.is_contiguous():
        return False
    reach = 0
    pairs = zip(tensor.stride(), tensor.shape, strict=True)
    for stride, size in sorted((stride, size) for stride, size in pairs if size > 1):
        # A dimension whose stride exceeds the extent of all smaller ones repeats no
        # address. Others may or may not, which counting the addresses shows.
        if stride <= reach or not stride:
            return _has_repeats(tensor)
        reach += (size - 1) * stride
    return False


def do_ranges_meet(starts: Any, ends: Any, low: Any, high: Any) -> bool:
    """Return whether parameters share memory with each other or with gradients.

    The ranges of parameters are sorted by their ``starts``; those of gradients, from
    ``low`` to ``high``, may overlap each other.
    """
    if bool(np.any(ends[:-1] > starts[1:])):
        return True
    # A gradient overlaps the first parameter that ends after its start, or none.
    after = np.searchsorted(ends, low, side="right")
    inside = np.flatnonzero(after < len(starts))
    return bool(np.any(starts[after[inside]] < high[inside]))


def _has_repeats(tensor: Tensor) -> bool:
    """Compare every address, since interleaved tensors have none in common."""
    places = torch.zeros((), dtype=torch.int64)
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        places = places[..., None] + torch.arange(size) * stride
    return len(set(places.flatten().tolist())) < tensor.numel()


def _overlap(places: list[tuple[int, int]]) -> bool:
    """Return whether any two ranges overlap; fast, as nearly all plans call it."""
    ranges = np.array(places, dtype=np.int64).reshape(-1, 2)
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    ranges = ranges[ranges[:, 0] < ranges[:, 1]]
    # Sorted by their starts, ranges overlap somewhere only if two neighbors do.
    return bool(np.any(ranges[:-1, 1] > ranges[1:, 0]))


def _clustered(ranges: list[tuple[int, int, int, bool]]) -> set[int]:
    positions, end = set[int](), 0
    cluster: list[tuple[int, int, int, bool]] = []
    for place in ranges:
        # Ranges that overlap through others form one cluster: its members have to run
        # in order even if they do not overlap each other.
        if place[0] >= end:
            positions |= _owners(cluster)
            cluster = []
        cluster.append(place)
        end = max(end, place[1])
    return positions | _owners(cluster)


def _owners(cluster: list[tuple[int, int, int, bool]]) -> set[int]:
    """Return owners of overlapping ranges, if a (written) parameter is among them."""
    is_written = any(is_param for *_, is_param in cluster)
    owners = {i for _, _, i, _ in cluster}
    return owners if is_written and len(owners) > 1 else set()


def _extent(tensor: Tensor) -> tuple[int, int]:
    """Return the start and end addresses of the elements; equal without memory."""
    if (
        tensor.layout is not torch.strided
        or tensor.is_meta
        or not is_plain_tensor(tensor)
    ):
        return 0, 0
    if tensor.is_contiguous():
        start = tensor.data_ptr()
        return start, start + tensor.nbytes
    if not tensor.numel():
        return 0, 0
    start = tensor.data_ptr()
    return start, start + spanned_bytes(tensor)
