"""A document without payloads, whose values are in others beside it (docs/format.md).

Its header names these files, each with its digest, and the table has for every entry
the file and location of its payload. It has the checksums of all.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ...config.short_text import quantity
from ...config.storage.file_names import is_file_name
from ..entries.entry import Entry
from ..errors import RecordFormatError
from ..header.columns import Column, are_sizes, is_size
from ..header.file_index import FileIndex, NamedFile
from ..header.header import Plain
from ..io.lazy_payload import LazyPayload
from ..io.source import Source, source_beside
from .layout import pieces_of, place_of

VERSION = 2
"""Version of such a document."""

FILES = "files"
"""The header key of the files."""

COLUMNS = {"file": Column("number of a file", are_sizes, is_size)}
"""The columns of its table beyond those of a document with payloads."""

_DIGEST = 16


def add_index(header: Plain, index: FileIndex) -> None:
    """Store in ``header`` where the payloads are."""
    header[FILES] = [[file.name, file.digest.hex()] for file in index.files]
    header["tensors"]["file"] = [place.file for place in index.places]
    header["tensors"]["offset"] = [place.offset for place in index.places]


def open_files(
    value: Any, source: Source, digest_of: Callable[[Source], bytes]
) -> list[Source]:
    """Return the files named by a header, opened, if they are the saved ones."""
    sources: list[Source] = []
    for file in _checked_files(value, source.name):
        neighbor = source_beside(source, file.name)
        if digest_of(neighbor) != file.digest:
            raise RecordFormatError(
                source.name,
                f"{file.name} beside it, with different content",
                "the file that was saved with it",
                "Copy the whole folder again, or use an older one.",
            )
        sources.append(neighbor)
    return sources


def place_entries(
    entries: Sequence[Entry],
    table: dict[str, Any],
    sources: Sequence[Source],
    sums: bytes,
    planes: bytearray,
    file: str,
) -> None:
    """Give every entry its payload; RecordFormatError for an impossible location."""
    numbers, offsets = table["file"], table["offset"]
    if len(numbers) != len(entries) or len(offsets) != len(entries):
        raise RecordFormatError(file, "columns of different lengths")
    n_bytes = [0] * len(sources)
    for i, entry in enumerate(entries):
        number = numbers[i]
        if number >= len(sources):
            raise RecordFormatError(
                file, f"{entry.path!r:.80} in a file that it does not name"
            )
        neighbor = sources[number]
        n_bytes[number] += entry.nbytes
        pieces = pieces_of(offsets[i], entry.nbytes)
        # As in a document with payloads, no two entries share bytes, so that what is
        # read takes no more memory than there are bytes.
        if n_bytes[number] > neighbor.size or sum(pieces[-1]) > neighbor.size:
            raise RecordFormatError(
                neighbor.name,
                f"{quantity(neighbor.size, 'byte')}, in which {entry.path!r:.80} is "
                "not",
            )
        entry.source = LazyPayload(
            neighbor,
            entry.path,
            entry.dtype,
            entry.shape,
            place_of(offsets[i], entry.nbytes),
            sums[8 * i : 8 * i + 8],
            bool(planes[i]),
        )


def _checked_files(value: Any, file: str) -> list[NamedFile]:
    files: list[NamedFile] = []
    try:
        for name, digest in value:
            if not is_file_name(name):
                raise ValueError(f"{name!r:.80} is not the name of a file")
            files.append(NamedFile(name, bytes.fromhex(digest)))
            if len(files[-1].digest) != _DIGEST:
                raise ValueError(f"the digest {digest!r:.80} is too short or too long")
    except (TypeError, ValueError) as error:
        raise RecordFormatError(file, f"a damaged list of files ({error})") from error
    if len({each.name for each in files}) != len(files):
        raise RecordFormatError(file, "a file that is named twice")
    return files
