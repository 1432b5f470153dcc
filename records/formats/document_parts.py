"""A document without payloads, whose values are in the parts of a folder.

Its header lists the parts, each with its size and digest, and how tensors are
distributed over them (docs/format.md). Checksums are in the parts.
"""

from collections.abc import Callable
from typing import Any

from ..entries.entries import Entries, set_source
from ..entries.entry import Entry
from ..header.header import stored_record
from ..io.source import Source
from ..sharded.part_files import PartFiles
from ..sharded.pieces import PiecewisePayload
from ..sharded.shard_index import COLUMNS, check_places, take_index

__all__ = ["COLUMNS", "VERSION", "read_index"]

VERSION = 3
"""Version of such a document."""


def read_index(
    header: dict[str, Any],
    source: Source,
    read: Callable[[Source], Entries],
    digest_of: Callable[[Source], bytes],
) -> Entries:
    """Return the record of ``header``, none of whose parts is opened yet."""
    index = take_index(header, source.name)
    record, entries = stored_record(header, source.name, added=COLUMNS)
    table = header["tensors"]
    check_places(index, table["layout"], table["shape"], source.name)
    files = PartFiles(source, index.parts, read, digest_of)

    def payload_of(i: int, entry: Entry) -> PiecewisePayload:
        return PiecewisePayload(files, index, i, entry.path, entry.dtype, entry.shape)

    entries.place(payload_of)
    # A part is checked when it is opened: no process opens those of all others.
    set_source(record, source)
    return record
