"""Registry: names and what was registered under them, from any thread."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from .process.process_lock import ProcessLock

K = TypeVar("K")
V = TypeVar("V")


class Registry(Mapping[K, V], Generic[K, V]):
    """A mapping that grows while others read it: who iterates sees one moment of it.

    Every table of this library that users register something in is one.
    """

    def __init__(self) -> None:
        self.entries: dict[K, V] = {}
        """Those of this moment: one dict, which no longer changes, until the next."""
        self._lock = ProcessLock()

    def register(self, *keys: K, value: V) -> None:
        """Put ``value`` under each of ``keys``, in place of what was there."""
        self.register_all(dict.fromkeys(keys, value))

    def register_all(self, entries: Mapping[K, V]) -> None:
        """Put all of ``entries`` there at once: nobody sees a part of them."""
        with self._lock.here:
            # A new dict for readers: the old one is still being iterated over.
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
