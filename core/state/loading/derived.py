"""Entries whose values are computed from other entries, when they are read."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ....config.process.interrupts import raise_of_signal
from ....config.short_text import with_article
from ....records.entries.entry import Entry, ParamId
from ....records.errors import RecordError
from ....records.io.source import Maps
from ....records.tensors.grad_mode import no_grad
from ....records.tensors.memory import values_of


def derive(entries: list[Entry], compute: Callable[[list[Tensor]], Tensor]) -> Entry:
    """Return an entry whose values ``compute`` returns; now only its shape is found."""
    first_entry = entries[0]
    if any(entry.dtype != first_entry.dtype for entry in entries):
        dtypes = ", ".join(f"{e.path}: {e.dtype}" for e in entries)
        raise RecordError(f"tensors of different dtypes cannot be joined: {dtypes}")
    form = _form(entries, compute)
    return replace(
        first_entry,
        dtype=form.dtype,
        shape=tuple(form.shape),
        source=Derived(entries, compute),
        touched=None,
        id=_derived_id(entries, compute),
        requires_grad=any(entry.requires_grad for entry in entries),
        ties=(),
        memory_format=None,
    )


def _form(entries: list[Entry], compute: Callable[[list[Tensor]], Tensor]) -> Tensor:
    """Return a tensor of the shape and dtype of the result of ``compute``."""
    blanks = [torch.empty(e.shape, dtype=e.dtype, device="meta") for e in entries]
    try:
        return _computed(entries, compute, blanks)
    except RecordError as error:
        has_values = not any(e.is_live and e.tensor().is_meta for e in entries)
        if isinstance(compute, Rearrangement):
            shapes = ", ".join(f"{e.path}: {tuple(e.shape)}" for e in entries)
            message = f"{shapes} cannot be joined: {error.__cause__}"
            raise RecordError(message) from error.__cause__
        if not has_values:
            raise
    # A user's function may look at values, which meta tensors do not have.
    return Derived(entries, compute).load()


def _computed(
    entries: list[Entry],
    compute: Callable[[list[Tensor]], Tensor],
    tensors: list[Tensor],
) -> Tensor:
    """Return the result of ``compute``. RecordError if it fails, or is not a tensor."""
    subject = f"{', '.join(e.path for e in entries)}: the function of a rule"
    try:
        values: Any = compute(tensors)
    except Exception as error:  # code of users
        raise_of_signal(error)
        problem = f"{type(error).__name__}: {error}"
        raise RecordError(f"{subject} raised {problem}") from error
    if isinstance(values, Tensor):
        return values
    kind = with_article(type(values).__name__)
    raise RecordError(f"{subject} returned {kind}, expected a tensor")


@dataclass(slots=True)
class Derived:
    """A payload that is computed from others when it is read."""

    entries: list[Entry]
    compute: Callable[[list[Tensor]], Tensor]

    @property
    def is_live(self) -> bool:
        """Whether the values are computed from live tensors."""
        return any(entry.is_live for entry in self.entries)

    def load(self, maps: Maps | None = None) -> Tensor:
        """Return the values, in memory of their own."""
        with no_grad():
            values = _computed(self.entries, self.compute, self._sources())
            return values.clone(memory_format=torch.contiguous_format)

    def _sources(self) -> list[Tensor]:
        tensors = [values_of(e.tensor(), e.path).detach() for e in self.entries]
        if isinstance(self.compute, Rearrangement):
            return tensors
        # A user's function may work in place, and this memory belongs to the record, or
        # to a live module.
        return [tensor.clone() for tensor in tensors]


def source_entries(entry: Entry) -> list[Entry]:
    """Return the entries that ``entry`` is computed from, in order; itself if none."""
    if not isinstance(entry.source, Derived):
        return [entry]
    leaves = [leaf for part in entry.source.entries for leaf in source_entries(part)]
    return [*{id(leaf): leaf for leaf in leaves}.values()]


def is_rearranged(entry: Entry) -> bool:
    """Return whether every element is an element of the leaves."""
    source = entry.source
    if not isinstance(source, Derived):
        return True
    return isinstance(source.compute, Rearrangement) and all(
        map(is_rearranged, source.entries)
    )


def rearranged(entry: Entry, read: Callable[[Entry], Tensor]) -> Tensor:
    """Return the value of ``entry`` if ``read`` returned its leaves."""
    source = entry.source
    if not isinstance(source, Derived):
        return read(entry)
    return source.compute([rearranged(part, read) for part in source.entries])


class Rearrangement:
    """A computation that moves elements and changes none.

    The elementwise state of an optimizer may be moved in the same way. Its ``repr``
    identifies the computation, in every process.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Cut(Rearrangement):
    """A piece along one dimension."""

    dim: int
    start: int
    size: int

    def __call__(self, tensors: list[Tensor]) -> Tensor:
        """Return it, as a view or a new tensor."""
        return tensors[0].narrow(self.dim, self.start, self.size)


@dataclass(frozen=True, slots=True)
class Joined(Rearrangement):
    """Several concatenated along one dimension."""

    dim: int

    def __call__(self, tensors: list[Tensor]) -> Tensor:
        """Return it, as a view or a new tensor."""
        return torch.cat(tensors, self.dim)


@dataclass(frozen=True, slots=True)
class StackedTensors(Rearrangement):
    """Several stacked along a new dimension."""

    dim: int

    def __call__(self, tensors: list[Tensor]) -> Tensor:
        """Return it, as a view or a new tensor."""
        return torch.stack(tensors, self.dim)


@dataclass(frozen=True, slots=True)
class Taken(Rearrangement):
    """One element of a stack."""

    dim: int
    number: int

    def __call__(self, tensors: list[Tensor]) -> Tensor:
        """Return it, as a view or a new tensor."""
        return tensors[0].select(self.dim, self.number)


@dataclass(frozen=True, slots=True)
class Turned(Rearrangement):
    """Two dimensions exchanged."""

    first: int
    second: int

    def __call__(self, tensors: list[Tensor]) -> Tensor:
        """Return it, as a view or a new tensor."""
        return tensors[0].transpose(self.first, self.second)


def _derived_id(
    entries: list[Entry], compute: Callable[[list[Tensor]], Tensor]
) -> ParamId | None:
    """Return an ID that is the same at every load of the record; None for a new one.

    It differs from the old IDs: optimizer state under those has the shape of the old
    tensors.
    """
    ids = [entry.id for entry in entries if entry.id is not None]
    if len(ids) < len(entries) or not isinstance(compute, Rearrangement):
        return None
    return ParamId.derived(*ids, repr(compute))
