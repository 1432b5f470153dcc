"""StoredEntries: the table of a file's entries, which are created on access."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import partial
from operator import mul
from typing import Any

import torch

from ...config.process.process_lock import ProcessLock
from ..entries.entry import Entry, ParamId, Payload, lies_in_file
from ..tensors.dtypes import BY_NAME
from .columns import Table


class StoredEntries:
    """The entries of a file: each a row of its table, until it is accessed.

    Of thousands, a reader may want one. An entry is created once for all users, so that
    they share the tensor loaded by the first access. Its ID and its payload are created
    on access: for 200,000 entries they would be a third of all memory.
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
        self._lock = ProcessLock()
        self._fields = LateFields(table["id"])
        self._shapes: dict[tuple[int, ...], tuple[int, ...]] = {}

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
        """Yield the path of each, followed by its ties."""
        for i, path in enumerate(self._table["path"]):
            yield (path, *self._ties.get(i, ()))

    @property
    def sizes(self) -> list[int]:
        """The number of bytes of each one's values."""
        counts = map(math.prod, self._table["shape"])
        # A single pass in C, since reading one tensor of thousands waits for it.
        return [*map(mul, counts, map(_ITEM_SIZES.__getitem__, self._table["dtype"]))]

    def place(self, payload_of: Callable[[int, Entry], Payload]) -> None:
        """Set what returns the payload of each, by its number, before any access."""
        self._fields.payload_of = payload_of

    def at(self, path: str) -> Entry | None:
        """Return the entry that has ``path``, also as a tie; None if none does."""
        number = self._number_of(path)
        if number is None:
            return None
        with self._lock.here:
            return self._entry(number)

    def _number_of(self, path: str) -> int | None:
        if self._numbers:
            return self._numbers.get(path)
        # Once all entries are created they replace their table, possibly while this
        # runs: the table is searched first, since another thread empties it last.
        table = self._table
        paths = [e.path for e in self._all] or table["path"]
        # For a single access searching the list is faster than building a dict.
        if not self._was_searched and path in paths:
            self._was_searched = True
            return paths.index(path)
        numbers = {path: i for i, path in enumerate(paths)}
        numbers.update((tie, i) for i, ties in self._ties.items() for tie in ties)
        # Stored once it is complete, since another thread may be reading it.
        self._numbers = numbers
        return numbers.get(path)

    def all(self) -> list[Entry]:
        """Return all of them, in the order of the file; always the same list."""
        with self._lock.here:
            if not self._all and self._count:
                entries = self._new_entries()
                # A signal handler may have created them meanwhile, in this thread.
                self._all = self._all or entries
                # The table's content has become entries, and is held only once.
                self._table = Table(path=[])
                self._entries = {}
            return self._all

    def _new_entries(self) -> list[Entry]:
        """Return all entries; nothing else is changed, whatever interrupts this."""
        table, existing = self._table, self._entries
        # As separate strings they would take most memory after the entries.
        if not isinstance(self._fields.ids, PackedIds):
            self._fields.ids = PackedIds(self._fields.ids)
            table["id"] = []
        new_entry, numbers = partial(self._new_entry, table), range(self._count)
        if not existing:
            return [*map(new_entry, numbers)]
        return [existing.get(i) or new_entry(i) for i in numbers]

    def _entry(self, number: int) -> Entry:
        if self._all:
            return self._all[number]
        entry = self._entries.get(number)
        if entry is None:
            entry = self._new_entry(self._table, number)
            entry = self._entries.setdefault(number, entry)
        return entry

    def _new_entry(self, table: Table, number: int) -> Entry:
        i = number
        shape = tuple(table["shape"][i])
        entry = _StoredEntry.__new__(_StoredEntry)
        entry.fields, entry.number = self._fields, number
        entry.path, entry.kind = table["path"][i], table["kind"][i]
        entry.dtype = BY_NAME[table["dtype"][i]]
        entry.shape = self._shapes.setdefault(shape, shape)
        entry.requires_grad = table["requires_grad"][i]
        entry.ties = tuple(self._ties.get(i, ()))
        entry.memory_format = self._memory_formats.get(i)
        entry.touched = None
        _set_id(entry, _UNMADE)
        _set_source(entry, _UNMADE)
        return entry


class LateFields:
    """The source of entries' IDs and payloads, by number, on access.

    It refers to no entry: a cycle would keep the file open until garbage is collected.
    """

    def __init__(self, ids: "Sequence[str | None] | PackedIds") -> None:
        self.ids = ids
        self.payload_of: Callable[[int, Entry], Payload] = lambda _, entry: NOWHERE

    def id_of(self, number: int) -> ParamId | None:
        """Return the ID of an entry by its number."""
        text = self.ids[number]
        return None if text is None else ParamId(text)


class PackedIds:
    """IDs or None, 13 bytes each: separate strings take five times as much."""

    def __init__(self, ids: Sequence[str | None]) -> None:
        self._text = "".join(id_ or _NO_ID for id_ in ids).encode()

    def __getitem__(self, number: int) -> str | None:
        text = self._text[_LENGTH * number : _LENGTH * (number + 1)].decode()
        return None if text == _NO_ID else text


_LENGTH = 13
_NO_ID = " " * _LENGTH


class _StoredEntry(Entry):
    """An entry whose ID and payload are created by `LateFields` on access.

    An accessed payload is kept, so that all users share it; what the entry reads for
    itself is not kept. A copy, by its constructor, has both.
    """

    __slots__ = ("fields", "number")

    fields: LateFields
    number: int

    @property
    def id(self) -> ParamId | None:
        """The ID of the parameter."""
        value: Any = _get_id(self)
        return self.fields.id_of(self.number) if value is _UNMADE else value

    @id.setter
    def id(self, value: ParamId | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # of a dataclass
        _set_id(self, value)

    @property
    def source(self) -> torch.Tensor | Payload:
        """The payload, or what has replaced it."""
        value: Any = _get_source(self)
        if value is _UNMADE:
            with _lock.here:
                # Another thread may have created it meanwhile.
                value = self.reading_source()
                _set_source(self, value)
        source: torch.Tensor | Payload = value
        return source

    @source.setter
    def source(self, value: torch.Tensor | Payload) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # of a dataclass
        _set_source(self, value)

    @property
    def is_stored(self) -> bool:
        """Whether `read_stored` reads a file."""
        value: Any = _get_source(self)
        return value is _UNMADE or lies_in_file(value)

    def _live(self) -> torch.Tensor | None:
        return self.touched if _get_source(self) is _UNMADE else super()._live()

    def __reduce__(self) -> tuple[type[Entry], tuple[Any, ...]]:
        # A copy has its own fields; the payload of an open file explains why it has
        # none.
        return Entry, tuple(getattr(self, field.name) for field in fields(Entry))

    def reading_source(self) -> torch.Tensor | Payload:
        """Return the source, or a new payload of the same."""
        value: Any = _get_source(self)
        if value is _UNMADE:
            return self.fields.payload_of(self.number, self)
        source: torch.Tensor | Payload = value
        return source


_get_id: Any = Entry.__dict__["id"].__get__
_set_id: Any = Entry.__dict__["id"].__set__
_get_source: Any = Entry.__dict__["source"].__get__
_set_source: Any = Entry.__dict__["source"].__set__
"""The descriptors of the slots."""

_lock = ProcessLock()
_UNMADE: Any = object()


_ITEM_SIZES = {name: dtype.itemsize for name, dtype in BY_NAME.items()}


class _Nowhere:
    def load(self, maps: object = None) -> torch.Tensor:
        """Raise: a format must give each entry its source."""
        raise RuntimeError("an entry was read before its format gave it a source")


NOWHERE = _Nowhere()
