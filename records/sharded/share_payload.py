"""Entries of which this process reads only its own share, as a DTensor."""

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

    Each is distributed like the DTensor in ``likes``, if it has its shape; an entry
    that is already loaded, or whose distribution is unknown, is not changed.
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
    """A stored entry to be loaded as a DTensor; every process reads its own rows."""

    entry: Entry
    like: Any
    """The DTensor that determines these rows."""

    is_live: ClassVar[bool] = False
    """Every load reads this for every entry; a missing attribute is slow to find."""

    def load(self, maps: Maps | None = None) -> Tensor:
        """Return a DTensor of which this process has read its own rows, verified."""
        rectangle = rectangle_of(self.like, self.entry.path)
        assert rectangle is not None  # it was checked before
        values = rectangle_values(self.entry, rectangle, maps)
        share: Tensor = spread(values.to(own_share(self.like).device), self.like)
        return share


def rectangle_values(entry: Entry, rectangle: Rectangle, maps: Maps | None) -> Tensor:
    """Return rows of a stored entry; from a folder, nothing else is read for them."""
    read_rectangle = getattr(entry.source, "rectangle", None)
    if read_rectangle is None:
        return rows_of(values_of(entry.read(maps), entry.path).detach(), rectangle)
    values: Tensor = read_rectangle(rectangle, maps)
    return values
