"""read_ahead: entries that are read by blocks, many of a storage in few requests."""

from collections.abc import Iterable, Iterator

from ..entries.entry import Entry
from ..io.lazy_payload import announce

WINDOW = 32 << 20
"""Bytes of each source that are announced together, and so are in memory."""


def read_ahead(rows: Iterable[tuple[Entry, ...]]) -> Iterator[tuple[Entry, ...]]:
    """Yield ``rows`` unchanged; the entries of each are then read completely by blocks.

    The entries of a row are from different sources, or few. Whatever their order in a
    source, no more of it is in memory than what was announced together.
    """
    window: list[tuple[Entry, ...]] = []
    size = 0
    for row in rows:
        nbytes = max((entry.nbytes for entry in row), default=0)
        if window and size + nbytes > WINDOW:
            yield from _announced(window)
            window, size = [], 0
        window.append(row)
        size += nbytes
    yield from _announced(window)


def _announced(window: list[tuple[Entry, ...]]) -> list[tuple[Entry, ...]]:
    entries = (entry for row in window for entry in row if not entry.is_live)
    announce((entry.reading_source() for entry in entries), in_blocks=True)
    return window
