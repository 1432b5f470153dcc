"""Entries of which this process reads its own share alone, as a DTensor."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from ..entries.entries import Entries, with_parts
from ..entries.entry import Entry
from ..io.source import Maps
from ..tensors.memory import values_of
from ..tensors.shares import own_share, spread
from .layout import Rectangle
from .pieces import rows_of
from .placement import rectangle_of

R = TypeVar("R", bound=Entries)


def with_shares(record: R, likes: Mapping[str, Any]) -> R:
    """Return ``record`` with entries that are read as DTensors, by their paths.

    Each is spread as the DTensor in ``likes`` is, if it has its shape; what is kept of
    it by then, or is spread in a way that nobody can tell, stays as it is.
    """
    entries = [_as_share(entry, likes.get(entry.path)) for entry in record.entries()]
    return with_parts(record, entries=entries)


def _as_share(entry: Entry, like: Any) -> Entry:
    if like is None or entry.is_live or entry.shape != tuple(like.shape):
        return entry
    if rectangle_of(like, entry.path) is None:
        return entry
    return replace(entry, source=SharePayload(entry, like))


@dataclass(slots=True, eq=False)
class SharePayload:
    """A stored entry on its way into a DTensor; every process reads its own rows."""

    entry: Entry
    like: Any
    """The DTensor that says which these are."""

    is_live: ClassVar[bool] = False
    """Asked of every entry by every load: an attribute is found sooner than none."""

    def load(self, maps: Maps | None = None) -> Tensor:
        """Return a DTensor of which this process has read its own rows, verified."""
        rectangle = rectangle_of(self.like, self.entry.path)
        assert rectangle is not None  # it was asked before
        values = rectangle_values(self.entry, rectangle, maps)
        share: Tensor = spread(values.to(own_share(self.like).device), self.like)
        return share


def rectangle_values(entry: Entry, rectangle: Rectangle, maps: Maps | None) -> Tensor:
    """Return rows of a stored entry; of a folder, nothing else is read for them."""
    read_rectangle = getattr(entry.source, "rectangle", None)
    if read_rectangle is None:
        return rows_of(values_of(entry.read(maps), entry.path).detach(), rectangle)
    values: Tensor = read_rectangle(rectangle, maps)
    return values
