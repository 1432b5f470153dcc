"""PartFiles: the parts of a folder, each opened at its first read."""

from collections.abc import Callable, Sequence

import torch

from ...config.process.process_lock import ProcessLock
from ...config.short_text import quantity
from ..entries.entries import Entries, check_gaps
from ..entries.entry import Entry
from ..errors import RecordFormatError
from ..io.source import Maps, Source, source_beside
from .layout import Chunk
from .shard_index import PartFile

DAMAGED = "Copy the whole folder again, or use an older one."


class _Unmapped(Maps):
    """The part files of a read of a few rows: files are read, not mapped whole."""

    def of(self, source: Source) -> Source:
        """Return ``source`` itself."""
        return source


def name_in_part(path: str, number: int) -> str:
    """Return a part's name for its rectangle ``number`` of the tensor at ``path``."""
    return path if not number else f"{path}#{number}"


class PartFiles:
    """The files beside an index; several reading threads open each only once."""

    def __init__(
        self,
        source: Source,
        parts: Sequence[PartFile | None],
        read: Callable[[Source], Entries],
        digest_of: Callable[[Source], bytes],
    ) -> None:
        """``source`` is the index; ``read`` and ``digest_of`` are its format's."""
        self._source, self._parts = source, parts
        self._read, self._digest_of = read, digest_of
        self._opened: dict[int, Entries] = {}
        self._lock = ProcessLock()

    @property
    def file(self) -> str:
        """The name of the index, for errors."""
        return self._source.name

    def entry(
        self, chunk: Chunk, path: str, dtype: torch.dtype, maps: Maps | None = None
    ) -> Entry:
        """Return a rectangle of a tensor as an entry of its part.

        RecordFormatError for a part that is missing, belongs to another save, or has
        different content.
        """
        name = name_in_part(path, chunk.number)
        entry = self._part(chunk.part, maps).entry_at(name)
        actual = "nothing" if entry is None else f"{entry.dtype}, shape {entry.shape}"
        sizes = chunk.rectangle.sizes
        if entry is None or entry.shape != sizes or entry.dtype is not dtype:
            raise RecordFormatError(
                self._name(chunk.part),
                f"{actual} as {name!r:.80}",
                f"{dtype}, shape {sizes}, as the index says",
                DAMAGED,
            )
        return entry

    def _name(self, number: int) -> str:
        part = self._parts[number]
        return self.file if part is None else part.name

    def _part(self, number: int, maps: Maps | None) -> Entries:
        with self._lock.here:
            opened = self._opened.get(number)
            if opened is None:
                opened = self._open(number)
                # One check is enough: a later writer would change payloads as well, and
                # those are hashed at every load.
                check_gaps(opened, _Unmapped() if maps is None else maps)
                self._opened[number] = opened
            return opened

    def _open(self, number: int) -> Entries:
        part = self._parts[number]
        if part is None:
            raise RecordFormatError(
                self.file, f"values in part {number}, which it does not have"
            )
        try:
            source = source_beside(self._source, part.name)
        except FileNotFoundError as error:
            error.strerror = (
                "the record was saved again, or removed, since it was opened, and this "
                "part of it is gone; open it again"
            )
            raise
        if source.size != part.size or self._digest_of(source) != part.digest:
            raise RecordFormatError(
                source.name,
                f"{quantity(source.size, 'byte')}, with different content than "
                "the index says",
                f"{quantity(part.size, 'byte')}, as they were saved with it",
                DAMAGED,
            )
        return self._read(source)
