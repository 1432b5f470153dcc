"""Registry: values by name, safe to read and extend from any thread."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from .process.process_lock import ProcessLock

K = TypeVar("K")
V = TypeVar("V")


class Registry(Mapping[K, V], Generic[K, V]):
    """A mapping that grows while others read it: an iteration sees one moment of it.

    Every table that users can register something in is a Registry.
    """

    def __init__(self) -> None:
        self.entries: dict[K, V] = {}
        """The present entries: one dict, which is replaced and never changed."""
        self._lock = ProcessLock()

    def register(self, *keys: K, value: V) -> None:
        """Set ``value`` under each of ``keys``, replacing earlier values."""
        self.register_all(dict.fromkeys(keys, value))

    def register_all(self, entries: Mapping[K, V]) -> None:
        """Set all of ``entries`` in one step: no reader sees only a part of them."""
        with self._lock.here:
            # A new dict is made, since readers may be iterating over the old one.
            self.entries = {**self.entries, **entries}

    def __getitem__(self, key: K) -> V:
        return self.entries[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self.entries)

    def __reversed__(self) -> Iterator[K]:
        return reversed(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, key: object) -> bool:
        return key in self.entries
