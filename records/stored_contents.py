"""StoredContents: a file's header and positions of payloads, as formats return them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch

from ..config.process.interrupts import raise_of_signal
from ..config.short_text import quantity
from .entries.entries import Entries, set_source
from .errors import RecordError, RecordFormatError
from .header.header import Plain, record_of_header
from .io.lazy_payload import LazyPayload
from .io.sink import Buffer
from .io.source import ClosedFileError, Maps, MemorySource, Source
from .writing.payload import Layout, Row, Traits


class ByteRange(NamedTuple):
    """The position of a payload in its source, as `Contents` returned its bytes."""

    offset: int
    size: int


Decoder: TypeAlias = Callable[[Row], Buffer]
"""Returns a payload's bytes as `Contents` returned them.

It is called whenever the tensor is read, by any thread.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredContents:
    """The `Contents` of a file that was opened; no payload is read yet.

    Everything is checked for the format: the header, sizes, positions and checksums.
    """

    header: Plain
    """The content of `Contents.header`, without the format's additions."""
    payloads: Sequence[ByteRange | Decoder]
    """For each row, the position of its bytes, or a function that makes them."""
    sums: bytes | None = None
    """The value of `Contents.sums`; None for a format without checksums."""

    def record(self, source: Source, form: Traits) -> Entries:
        """Return the record, each payload read and verified on access."""
        record = record_of_header(self.header, source.name)
        entries = record.entries()
        if len(self.payloads) != len(entries) or (
            self.sums is not None and len(self.sums) != 8 * len(entries)
        ):
            raise RecordFormatError(
                source.name,
                f"{quantity(len(self.payloads), 'payload')} and "
                f"{quantity(len(self.sums or b''), 'byte')} of "
                f"sums for {quantity(len(entries), 'entry')}",
            )
        for i, (entry, payload) in enumerate(zip(entries, self.payloads, strict=True)):
            layout: Layout = "planes" if entry.dtype in form.planed else "rows"
            row = Row(entry.path, entry.dtype, entry.shape, layout, entry.nbytes)
            digest = None if self.sums is None else self.sums[8 * i : 8 * i + 8]
            if isinstance(payload, ByteRange):
                check_place(payload, row, source)
                entry.source = _lazy_payload(source, row, payload, digest)
            else:
                entry.source = Decoded(source, row, payload, digest)
        set_source(record, source, has_sums=self.sums is not None)
        return record


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A payload whose bytes a format computes on access."""

    source: Source
    row: Row
    decoder: Decoder
    sum: bytes | None

    def load(self, maps: Maps | None = None) -> torch.Tensor:
        """Return the tensor, verified; `RecordFormatError` if it cannot be computed."""
        file = self.source.name
        try:
            data = memoryview(self.decoder(self.row)).cast("B")
        except (RecordError, OSError, ClosedFileError):
            raise
        # Damaged bytes may make a format's code fail in any way.
        except Exception as error:
            raise_of_signal(error)
            raise RecordFormatError(
                file, f"damaged bytes of {self.row.path!r:.80} ({error})"
            ) from error
        if len(data) != self.row.size:
            raise RecordFormatError(
                file,
                f"{quantity(len(data), 'byte')} of {self.row.path!r:.80}",
                f"{self.row.size:,}",
            )
        content = MemorySource(data, name=file, verify=self.source.verify)
        place = ByteRange(0, self.row.size)
        return _lazy_payload(content, self.row, place, self.sum).load()


def check_place(place: ByteRange, row: Row, source: Source) -> None:
    """Raise `RecordFormatError` unless a payload of ``row`` fits at ``place``."""
    offset, size = place
    if not (
        type(offset) is int
        and type(size) is int
        and size == row.size
        and 0 <= offset <= source.size - size
    ):
        raise RecordFormatError(
            source.name,
            f"{row.path!r:.80} at {offset!r:.40}, {size!r:.40} bytes long, in a file "
            f"of {source.size:,}",
            f"{quantity(row.size, 'byte')} inside the file",
        )


def _lazy_payload(
    source: Source, row: Row, place: ByteRange, digest: bytes | None
) -> LazyPayload:
    is_planes = row.layout == "planes"
    return LazyPayload(
        source, row.path, row.dtype, row.shape, place.offset, digest, is_planes
    )
