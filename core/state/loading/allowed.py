"""The differences between a record and a module that are allowed."""

from collections.abc import Callable, Container
from dataclasses import dataclass

from ....config.patterns import Patterns, matches
from ....records.entries.entries import Reading
from ....records.entries.entry import Entry
from ....records.entries.select import selected


@dataclass(frozen=True, slots=True)
class Allowed:
    """The differences between a record and a module that are not an error."""

    strict: bool = True
    missing: Patterns | None = None
    unexpected: Patterns | None = None
    is_empty_allowed: bool = False
    """Whether a record may fill nothing at all."""
    absent: frozenset[str] = frozenset()
    """Paths that the record's writer or reader left out, or that are unknown.

    A ``*`` matches any number: layers of a stack that rules split up.
    """
    arguments: frozenset[str] = frozenset()
    """Arguments of the module passed by its reader, which override stored ones."""

    wrappers: Container[str] = ()
    """Paths of tensors that wrap others, in the record or in the module."""

    def allows_missing(self, item: Entry | str) -> bool:
        """Return whether the record may lack ``item``."""
        if not self.strict or self._matches(self.missing, item):
            return True
        path = item if isinstance(item, str) else item.path
        return path in self.absent or any(
            "*" in name and matches(name, path) for name in self.absent
        )

    def allows_unexpected(self, item: Entry | str) -> bool:
        """Return whether the module may lack ``item``."""
        return not self.strict or self._matches(self.unexpected, item)

    def _matches(self, patterns: Patterns | None, item: Entry | str) -> bool:
        return patterns is not None and selected(item, patterns, None, self.wrappers)


def left_out_by_reader(
    reading: Reading, wrappers: Container[str] = ()
) -> Callable[[Entry | str], bool]:
    """Return a test of whether the reader of a file excluded an item."""
    only, exclude = reading.only, reading.exclude
    return lambda item: not selected(item, only, exclude, wrappers)
