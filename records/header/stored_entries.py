"""StoredEntries: what a file's table says of entries, which are made when asked for."""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from operator import mul
from typing import Any

import torch

from ..entries.entry import Entry, ParamId, Payload
from ..tensors.dtypes import BY_NAME
from .columns import Table


class StoredEntries:
    """The entries of a file: a row of its table each, until somebody wants to see it.

    Of thousands, a reader may want one. An entry is made once, whoever asks for it, so
    that all see the tensor of the first who touched it.
    """

    def __init__(self, table: Table) -> None:
        """``table`` has been checked."""
        self._table, self._count = table, len(table["path"])
        self._ties = dict(table["ties"])
        self._memory_formats = dict(table["memory_format"])
        self._numbers: dict[str, int] = {}
        self._was_searched = False
        self._entries: dict[int, Entry] = {}
        self._all: list[Entry] = []
        self._lock = threading.Lock()
        self._payload_of: Callable[[int, Entry], Payload] | None = None

    def __len__(self) -> int:
        return self._count

    @property
    def dtypes(self) -> list[torch.dtype]:
        """The dtype of each, as it is stored."""
        return [BY_NAME[name] for name in self._table["dtype"]]

    @property
    def shapes(self) -> list[Sequence[int]]:
        """The shape of each."""
        shapes: list[Sequence[int]] = self._table["shape"]
        return shapes

    def all_paths(self) -> Iterator[tuple[str, ...]]:
        """Yield the path of each, and its ties behind it."""
        for i, path in enumerate(self._table["path"]):
            yield (path, *self._ties.get(i, ()))

    @property
    def sizes(self) -> list[int]:
        """How many bytes the values of each take."""
        counts = map(math.prod, self._table["shape"])
        # One pass in C: whoever reads one tensor of thousands waits for it.
        return [*map(mul, counts, map(_ITEM_SIZES.__getitem__, self._table["dtype"]))]

    def place(self, payload_of: Callable[[int, Entry], Payload]) -> None:
        """Say what the payload of each is, by its number; before any is asked for."""
        self._payload_of = payload_of

    def at(self, path: str) -> Entry | None:
        """Return the entry that has ``path``, by a tie of it too; None if none does."""
        number = self._number_of(path)
        if number is None:
            return None
        with self._lock:
            return self._entry(number)

    def _number_of(self, path: str) -> int | None:
        if self._numbers:
            return self._numbers.get(path)
        # Entries that were made all at once have the place of their table.
        paths = [e.path for e in self._all] or self._table["path"]
        # A reader of one looks through the list sooner than it makes a dict.
        if not self._was_searched and path in paths:
            self._was_searched = True
            return paths.index(path)
        numbers = {path: i for i, path in enumerate(paths)}
        numbers.update((tie, i) for i, ties in self._ties.items() for tie in ties)
        # Kept once it is complete: another thread may be reading it.
        self._numbers = numbers
        return numbers.get(path)

    def all(self) -> list[Entry]:
        """Return all of them, in the order of the file; always one list."""
        with self._lock:
            if not self._all and self._count:
                existing, new_entry = self._entries, self._new_entry
                numbers = range(self._count)
                self._all = (
                    [existing.get(i) or new_entry(i) for i in numbers]
                    if existing
                    else [*map(new_entry, numbers)]
                )
                # What it says has become entries, and is in memory once.
                self._table = Table(path=[])
                self._entries = {}
            return self._all

    def _entry(self, number: int) -> Entry:
        if self._all:
            return self._all[number]
        entry = self._entries.get(number)
        if entry is None:
            entry = self._entries[number] = self._new_entry(number)
        return entry

    def _new_entry(self, number: int) -> Entry:
        table, i = self._table, number
        entry = _StoredEntry(
            table["path"][i],
            table["kind"][i],
            BY_NAME[table["dtype"][i]],
            tuple(table["shape"][i]),
            NOWHERE,
            table["id"][i],
            table["requires_grad"][i],
            tuple(self._ties.get(i, ())),
            self._memory_formats.get(i),
        )
        if self._payload_of is not None:
            entry.source = self._payload_of(i, entry)
        return entry


_id: Any = Entry.__dict__["id"]
"""The slot."""


class _StoredEntry(Entry):
    """An entry that has the text of its ID: an object of a class of our own is larger.

    Of 200,000 the IDs would be the most memory after the entries themselves.
    """

    __slots__ = ()

    @property
    def id(self) -> ParamId | None:
        """Who the parameter is."""
        text: str | None = _id.__get__(self)
        return None if text is None else ParamId(text)

    @id.setter
    def id(self, value: str | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # of a dataclass
        _id.__set__(self, value)


_ITEM_SIZES = {name: dtype.itemsize for name, dtype in BY_NAME.items()}


class _Nowhere:
    def load(self, maps: object = None) -> torch.Tensor:
        """Raise: a format must give each entry its source."""
        raise RuntimeError("an entry was read before its format gave it a source")


NOWHERE = _Nowhere()
