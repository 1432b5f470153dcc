"""Bucket: parameters that one engine steps together, with one set of numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import is_
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .step import Step
from .trace import Layout

Job = Callable[[], None]
"""Does the writing part of a step; all that can fail was done before."""


class Unfit(Exception):
    """An engine cannot take this call; the message says why, and the loop does it."""


class Engine(Protocol):
    """Steps the parameters of a bucket."""

    name: str

    def prepare(self, bucket: "Bucket", grads: list[Tensor], step: Step) -> Job:
        """Return what writes the step; change nothing yet.

        Raises Unfit or NotElementwise for a call that the plain loop must do.
        """
        ...


@dataclass(slots=True)
class Bucket:
    """Parameters, their states, and how they are stepped."""

    layout: Layout
    params: list[Tensor]
    positions: list[int]
    """Where the parameters stand in their group."""
    states: list[dict[str, Any]]
    """The optimizer's own state dicts; their tensors are ``columns``."""
    columns: list[list[Tensor]]
    scalars: dict[str, Any]
    engine: Engine
    why: str
    compute: torch.dtype | None = None
    """What to compute in, where that is not the parameters' dtype."""
    forms: list[tuple[Any, ...]] = field(init=False)
    sizes: list[int] = field(init=False)
    addresses: tuple[list[int], list[int]] = ([], [])
    overlaps: bool = False
    contiguous: bool = field(init=False)

    def __post_init__(self) -> None:
        self.sizes = [p.numel() for p in self.params]
        self.contiguous = all(p.is_contiguous() for p in self.params)
        self.forms = [(p.shape, p.stride()) for p in self.params]

    def holds(self, states: Sequence[dict[str, Any] | None]) -> bool:
        """Return whether the group's states are still the ones planned for."""
        if len(states) != len(self.positions):
            states = [states[i] for i in self.positions]
        if not all(map(is_, states, self.states)):
            return False
        for name, column in zip(self.layout.tensors, self.columns, strict=True):
            if not all(map(is_, [s.get(name) for s in self.states], column)):
                return False
        count = len(self.states)
        return all(
            [s.get(name) for s in self.states].count(value) == count
            for name, value in self.scalars.items()
        )

    def fits(self, grads: list[Tensor]) -> bool:
        """Return whether tensors and gradients still have the planned forms."""
        dtype, grad_dtype = self.layout.dtypes[:2]
        params = self.params
        try:
            return (
                all([p.dtype is dtype for p in params])
                and all([g.dtype is grad_dtype for g in grads])
                and list(map(_numel, params)) == self.sizes
                and list(map(_numel, grads)) == self.sizes
                and self._same_strides(grads)
                and self._same_device(grads)
            )
        except RuntimeError:  # a sparse gradient has no strides
            return False

    def _same_strides(self, grads: list[Tensor]) -> bool:
        if self.contiguous:
            contiguous = torch.Tensor.is_contiguous
            return all(map(contiguous, self.params)) and all(map(contiguous, grads))
        return all(
            p.shape == shape and p.stride() == stride and g.stride() == stride
            for p, g, (shape, stride) in zip(self.params, grads, self.forms, strict=True)
        )

    def _same_device(self, grads: list[Tensor]) -> bool:
        device = self.layout.like.device
        if device.type == "cpu":
            return all([p.is_cpu for p in self.params]) and all([g.is_cpu for g in grads])
        return all(p.device == device == g.device for p, g in zip(self.params, grads, strict=True))

    def locate(self, grads: list[Tensor]) -> bool:
        """Read all addresses; return whether any changed. Raises Unfit on overlaps."""
        if self.layout.like.device.type != "cpu":
            return False
        found = (list(map(_address, self.params)), list(map(_address, grads)))
        changed = found != self.addresses
        if changed:
            self.overlaps = _overlap(*found, self._bytes())
            self.addresses = found
        if self.overlaps:
            raise Unfit("tensors share memory")
        return changed

    def _bytes(self) -> Sequence[int]:
        width = self.layout.dtypes[0].itemsize
        return [size * width for size in self.sizes]

    def commit(self, scalars: dict[str, Any]) -> None:
        """Store the numbers of the states after a step."""
        self.scalars = scalars
        for name, value in scalars.items():
            for state in self.states:
                state[name] = value


_numel = torch.Tensor.numel
_address = torch.Tensor.data_ptr


def _overlap(params: list[int], grads: list[int], nbytes: Sequence[int]) -> bool:
    """Return whether a parameter shares memory with another or with a gradient."""
    starts = np.array(params, dtype=np.int64)
    size = np.array(nbytes, dtype=np.int64)
    order = np.argsort(starts, kind="stable")
    starts = starts[order]
    ends = starts + size[order]
    if bool(np.any(ends[:-1] > starts[1:])):
        return True
    low = np.array(grads, dtype=np.int64)
    # A gradient overlaps the first parameter that ends behind its start, or none.
    after = np.searchsorted(ends, low, side="right")
    inside = after < len(starts)
    return bool(np.any(starts[after[inside]] < (low + size)[inside]))
