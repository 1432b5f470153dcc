"""`.mpk`: one valid MessagePack document with aligned payloads (docs/format.md).

    {"burnish": 1, "header": bin, "header_xxh3": bin, "data": [pad, payload, ...],
     "checksums": bin, "checksums_xxh3": bin}

Every byte is covered by a sum or has one legal value. Payloads start at multiples of
64 bytes, so that a memory map of the file holds the tensors as they are used.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import xxhash

from ...config.process.gc_pause import paused_collection
from ...config.short_text import quantity
from ..entries.entries import Entries, check_gaps, set_source
from ..entries.entry import Entry
from ..errors import (
    TRUNCATED,
    RecordChecksumError,
    RecordError,
    RecordFormatError,
    RecordVersionError,
)
from ..format import FolderIndex, Format, WriteOptions
from ..header.columns import Column, are_sizes, is_size
from ..header.file_index import FileIndex
from ..header.header import plain_of, stored_record
from ..header.stored_entries import StoredEntries
from ..io.lazy_payload import LazyPayload, SumTable
from ..io.sink import Sink
from ..io.source import Maps, Source, is_remote
from ..limits import allowance
from ..source_errors import wrong_size
from ..tensors.byte_planes import PLANED
from ..writing.contents import Contents
from . import block_sums, document_index, document_parts
from .block_sums import BlockSums, block_counts, payloads_in_blocks
from .bounded_msgpack import MessagePackReader, is_small, pack_bounded
from .document_index import add_index, open_files, place_entries
from .layout import ALIGN, LONGEST_BIN, PART, DocumentLayout, place_of

MAX_HEADER = 100_000_000

VERSION = 1
MAGIC = b"\x86\xa7burnish"

_HEADER = b"\xa6header\xc6"
_HEADER_SUM = b"\xabheader_xxh3\xc4\x08"
_DATA = b"\xa4data\xdd"
_SUMS = b"\xa9checksums\xc6"
_SUMS_SUM = b"\xaechecksums_xxh3\xc4\x08"
_BEFORE_HEADER = len(MAGIC) + 1 + len(_HEADER) + 4
_AFTER_HEADER = len(_HEADER_SUM) + 8 + len(_DATA)


class MessagePack(Format):
    """The default format: self-describing, memory-mapped, every byte checked."""

    name = "mpk"
    suffixes = (".mpk",)
    magic = MAGIC
    has_index = True

    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        """Write one document: the header first, the checksums of the payloads last."""
        with paused_collection():
            layout = DocumentLayout.of(contents.sizes)
            head = document_head(contents, layout, planes=(), block=options.block_sums)
            check_readable(head, len(head) + layout.end, len(layout.sizes))
        sink.write(head)
        # For many entries it is megabytes, and only values are left to be written.
        del head
        size = options.block_sums
        blocks = None if size is None else BlockSums(sink, layout, size)
        contents.write_payloads(
            blocks or sink, layout.frames(), parts=layout.parts(), part_size=PART
        )
        sums = contents.sums + (b"" if blocks is None else blocks.sums)
        sink.write(document_tail(sums))

    def decode(self, source: Source) -> Entries:
        """Return the record; its header is verified now, its payloads when read."""
        with paused_collection():
            return read_document(source)

    def encode_index(
        self, contents: Contents, index: FileIndex, sink: Sink, options: WriteOptions
    ) -> None:
        """Write one document whose payloads are in files beside it."""
        sink.write(index_document(contents, index, planes=()))

    def encode_folder_index(
        self, contents: Contents, index: FolderIndex, sink: Sink
    ) -> None:
        """Write one document whose payloads are in the parts of a folder."""
        header = contents.header
        index.add_to(header)
        sink.write(_without_payloads(header, document_parts.VERSION, b""))

    def digest(self, source: Source) -> bytes:
        """Return the checksums of the header and of the payloads' checksums."""
        return document_digest(source)

    def fingerprint(self, source: Source) -> bytes:
        """Return the checksum of the payloads' checksums; for an index both."""
        return document_fingerprint(source)


def document_head(
    contents: Contents,
    layout: DocumentLayout,
    *,
    planes: Sequence[int],
    block: int | None = None,
) -> bytes:
    """Return the document up to its first pad; ``planes`` are the entries in planes.

    With ``block``, so many bytes of a payload each have a checksum of their own.
    """
    header = contents.header
    header["tensors"]["offset"] = layout.starts
    header["tensors"]["planes"] = list(planes)
    if block is None:
        return _head(header, layout.n_items, VERSION)
    header[block_sums.KEY] = block
    return _head(header, layout.n_items, block_sums.VERSION)


def index_document(
    contents: Contents, index: FileIndex, *, planes: Sequence[int]
) -> bytes:
    """Return the document of ``contents`` whose payloads are where ``index`` states.

    Raises RecordError if no reader would accept it.
    """
    header = contents.header
    add_index(header, index)
    header["tensors"]["planes"] = list(planes)
    sums = b"".join(place.sum for place in index.places)
    return _without_payloads(header, document_index.VERSION, sums)


def _without_payloads(header: dict[str, Any], version: int, sums: bytes) -> bytes:
    head, tail = _head(header, 0, version), document_tail(sums)
    check_readable(head, len(head) + len(tail), 0)
    return head + tail


def _head(header: dict[str, Any], n_items: int, version: int) -> bytes:
    """Return a document up to its first pad; the columns of ``header`` are removed."""
    header["pad"] = b""
    packed = pack_bounded(header, MAX_HEADER)
    # The pad is the header's last value: it aligns `data` to a multiple of 64.
    n_pad = -(_BEFORE_HEADER + len(packed) + _AFTER_HEADER - 1) % ALIGN
    parts = (packed[:-1], bytes([n_pad]), bytes(n_pad))
    digest = xxhash.xxh3_64()
    for part in parts:
        digest.update(part)
    # Joined only once, since for many entries it is megabytes.
    return b"".join(
        (
            MAGIC,
            bytes([version]),
            _HEADER,
            struct.pack(">I", len(packed) + n_pad),
            *parts,
            _HEADER_SUM,
            digest.digest(),
            _DATA,
            struct.pack(">I", n_items),
        )
    )


def check_readable(head: bytes, size: int, n_entries: int) -> None:
    """Raise RecordError if no reader would accept ``head`` in a file of ``size`` bytes.

    ``head`` is the result of `document_head`.
    """
    packed = memoryview(head)[_BEFORE_HEADER : -_AFTER_HEADER - 4]
    limit = allowance(size, min(n_entries, size // ALIGN))
    if is_small(packed, limit):
        return
    columns = _COLUMNS_OF[head[len(MAGIC)]]
    try:
        plain_of(MessagePackReader(packed, "", limit), "", columns)
    except RecordFormatError as error:
        raise RecordError(
            "more metadata or plain data than a reader accepts, for a file of "
            f"{size:,} bytes ({error.found}). Store long lists of numbers as tensors "
            "or arrays, and long strings as one str or bytes."
        ) from error


def document_tail(sums: bytes) -> bytes:
    """Return the document after its last payload."""
    if len(sums) > LONGEST_BIN:
        raise RecordError(f"{len(sums) // 8:,} entries, more than one file may have")
    digest = xxhash.xxh3_64_digest(sums)
    return b"".join((_SUMS, struct.pack(">I", len(sums)), sums, _SUMS_SUM, digest))


def read_document(source: Source, budget: int | None = None) -> Entries:
    """Return the record of the document in ``source``, which extends to its end.

    ``budget`` is the number of bytes that the header, and again its values, may take
    beyond what every file may; the default is the size of the source.
    """
    version = _version_of(source)
    budget = source.size if budget is None else budget
    header, data = _read_header(source, budget, version)
    if version == document_index.VERSION:
        return _read_index(header, source, data)
    if version == document_parts.VERSION:
        _sums_of_index(source, data, 0)
        return document_parts.read_index(header, source, _read_beside, document_digest)
    return _read_payloads(header, source, data, version)


def _read_payloads(header: Any, source: Source, data: int, version: int) -> Entries:
    """Return the record of a document with its payloads, from ``data`` on."""
    block = None
    if version == block_sums.VERSION:
        block = block_sums.take_block_size(header, source.name)
    record, entries = stored_record(header, source.name, added=_COLUMNS)
    counts = [] if block is None else block_counts(entries.sizes, block)
    layout = _checked_layout(header["tensors"], entries, source, data, sum(counts))
    planes = bytearray()
    if header["tensors"]["planes"]:
        planes = _checked_planes(header["tensors"], entries, source.name)
        if block is not None:
            raise RecordFormatError(source.name, "planes in blocks with sums")
    sums = _sums_of_document(source, layout, data)
    table = SumTable(layout.starts, data, sums)

    def payload_of(i: int, entry: Entry) -> LazyPayload:
        return LazyPayload(
            source,
            entry.path,
            entry.dtype,
            entry.shape,
            place_of(data + layout.starts[i], layout.sizes[i]),
            table,
            bool(planes and planes[i]),
        )

    if block is None:
        entries.place(payload_of)
    else:
        sums_of_blocks = sums[8 * len(entries) :]
        entries.place(payloads_in_blocks(payload_of, block, counts, sums_of_blocks))
    set_source(
        record,
        source,
        lambda maps: _check_framing(maps.of(source), layout, data),
        version=version,
    )
    return record


def _read_index(header: Any, source: Source, data: int) -> Entries:
    """Return the record of a document whose payloads are beside it."""
    files = header.pop(document_index.FILES, None)
    columns = _COLUMNS_OF[document_index.VERSION]
    record, table = stored_record(header, source.name, added=columns)
    sums = _sums_of_index(source, data, len(table))
    sources = open_files(files, source, document_digest)
    columns = header["tensors"]
    planes = _checked_planes(columns, table, source.name)
    entries = table.all()
    place_entries(entries, columns, sources, sums, planes, source.name)

    def check(maps: Maps) -> None:
        for neighbor in sources:
            check_gaps(_read_beside(maps.of(neighbor)), maps)

    set_source(record, source, check, version=document_index.VERSION)
    return record


def _sums_of_index(source: Source, data: int, n_entries: int) -> bytes:
    size = data + 5 + len(document_tail(b"")) + 8 * n_entries
    if size != source.size:
        raise wrong_size(source, size)
    if bytes(source.read(data, 5)) != _DATA[-1:] + bytes(4):
        raise RecordFormatError(source.name, "payloads in a file that says it has none")
    tail = bytes(source.read(data + 5, source.size - data - 5))
    sums = tail[len(_SUMS) + 4 : len(_SUMS) + 4 + 8 * n_entries]
    if tail != document_tail(sums):
        raise RecordChecksumError(source.name, "the checksums")
    return sums


def _version_of(source: Source) -> int:
    """Return the version that the document states; 1 if it is none."""
    head = bytes(source.read(0, min(source.size, len(MAGIC) + 1)))
    return head[-1] if head[:-1] == MAGIC else VERSION


def _read_beside(source: Source) -> Entries:
    if _version_of(source) not in (VERSION, block_sums.VERSION):
        raise RecordFormatError(
            source.name, "no payloads, but names of other files", "payloads"
        )
    return read_document(source)


def document_digest(source: Source) -> bytes:
    """Return the two checksums of the document in ``source`` that cover all of it."""
    length = int.from_bytes(source.read(_BEFORE_HEADER - 4, 4), "big")
    of_header = source.read(_BEFORE_HEADER + length + len(_HEADER_SUM), 8)
    return bytes(of_header) + bytes(source.read(source.size - 8, 8))


def document_fingerprint(source: Source) -> bytes:
    """Return a key of the values in a document; IDs and metadata do not count.

    For a document without payloads, such as the index of a folder, everything counts.
    """
    of_sums = bytes(source.read(source.size - 8, 8))
    return document_digest(source) if of_sums == _SUM_OF_NONE else of_sums


_SUM_OF_NONE = bytes(document_tail(b""))[-8:]


def _read_header(source: Source, budget: int, version: int) -> tuple[Any, int]:
    """Return the header and where `data` begins."""
    packed, data = _packed_header(source, budget)
    n_items = int.from_bytes(source.read(data + 1, 4), "big")
    # The number is not checked yet, but each payload is aligned.
    limit = allowance(budget, min(n_items // 2, budget // ALIGN))
    reader = MessagePackReader(packed, source.name, limit)
    if reader.is_small and len(packed) < _COLUMNWISE:
        header = reader.value()
    else:
        header = plain_of(reader, source.name, _COLUMNS_OF[version])
    reader.end()
    if not isinstance(header, dict):
        raise RecordFormatError(source.name, "a header that is not a map")
    pad = header.pop("pad", None)
    if not isinstance(pad, bytes) or any(pad) or len(pad) >= ALIGN or data % ALIGN:
        raise RecordFormatError(source.name, "a header that does not end in its pad")
    return header, data


def _packed_header(source: Source, budget: int) -> tuple[memoryview, int]:
    """Return the header's bytes, after comparison, and ``data``'s position.

    They are compared with their checksum.
    """
    head = source.read(0, min(source.size, _FIRST_READ))
    length = _header_length(head, source)
    data = _BEFORE_HEADER + length + _AFTER_HEADER - 1
    if length > min(MAX_HEADER, allowance(budget)) or data + 5 > source.size:
        raise RecordFormatError(
            source.name,
            f"a header of {quantity(length, 'byte')} in a file of {source.size:,}",
            cure=TRUNCATED,
        )
    if data + 5 > len(head):
        # Read again rather than joined, since a second copy of a long header takes
        # memory.
        head = source.read(0, data + 5)
    packed = head[_BEFORE_HEADER : _BEFORE_HEADER + length]
    after = bytes(head[_BEFORE_HEADER + length : data])
    if (
        after[: len(_HEADER_SUM)] != _HEADER_SUM
        or after[-len(_DATA) + 1 :] != _DATA[:-1]
    ):
        raise RecordFormatError(source.name, "something other than a checksum and data")
    if after[len(_HEADER_SUM) : len(_HEADER_SUM) + 8] != xxhash.xxh3_64_digest(packed):
        raise RecordChecksumError(source.name, "the header")
    return packed, data


def _header_length(head: bytes | memoryview, source: Source) -> int:
    """Return the length in the first bytes, if they are those of a document."""
    if bytes(head[: len(MAGIC)]) != MAGIC:
        raise RecordFormatError(
            source.name, "unexpected first bytes", "those of an .mpk file"
        )
    if len(head) < _BEFORE_HEADER:
        raise RecordFormatError(
            source.name, f"only {quantity(len(head), 'byte')}", cure=TRUNCATED
        )
    version = head[len(MAGIC)]
    if version not in _COLUMNS_OF:
        newest = max(_COLUMNS_OF)
        raise RecordVersionError(source.name, version, newest, "the file's format")
    if bytes(head[len(MAGIC) + 1 : _BEFORE_HEADER - 4]) != _HEADER:
        raise RecordFormatError(source.name, "no header after the version")
    return int.from_bytes(head[_BEFORE_HEADER - 4 : _BEFORE_HEADER], "big")


def _checked_layout(
    table: dict[str, Any],
    entries: StoredEntries,
    source: Source,
    data: int,
    n_more_sums: int,
) -> DocumentLayout:
    sizes = entries.sizes
    if sum(sizes) > source.size:
        raise RecordFormatError(
            source.name,
            f"entries of {quantity(sum(sizes), 'byte')} in a file of {source.size:,}",
            cure=TRUNCATED,
        )
    layout = DocumentLayout.of(sizes)
    # The column is no longer needed: it is removed before there are entries.
    if table.pop("offset") != layout.starts.tolist():
        raise RecordFormatError(source.name, "payloads at unexpected offsets")
    n_sums = len(entries) + n_more_sums
    size = data + layout.end + len(document_tail(b"")) + 8 * n_sums
    if size != source.size:
        raise wrong_size(source, size)
    return layout


def _checked_planes(
    table: dict[str, Any], entries: StoredEntries, file: str
) -> bytearray:
    """Return for each entry whether it is in planes; the column is removed then."""
    are_in_planes = bytearray(len(entries))
    dtypes = entries.dtypes
    for number in table.pop("planes"):
        if number >= len(entries) or are_in_planes[number]:
            raise RecordFormatError(file, "a damaged column of planes")
        if dtypes[number] not in PLANED:
            path = table["path"][number]
            raise RecordFormatError(file, f"{path!r:.80} in planes, with its dtype")
        are_in_planes[number] = True
    return are_in_planes


def _check_framing(source: Source, layout: DocumentLayout, data: int) -> None:
    """Raise unless every byte between payloads, and every checksum, is as expected."""
    items = struct.pack(">BI", _DATA[-1], layout.n_items)
    if bytes(source.read(data, 5)) != items:
        raise RecordFormatError(
            source.name, "a different number of payloads than it says"
        )
    if is_remote(source):
        source.expect_surroundings(
            [(at, frame, _damage(i)) for at, frame, i in _frames(layout, data)]
        )
        return  # the checksums were compared when it was opened
    for at, frame, i in _frames(layout, data):
        if bytes(source.read(at, len(frame))) != frame:
            raise RecordFormatError(source.name, _damage(i))
    _checked_sums(source, layout, data)


def _damage(number: int) -> str:
    return f"damage before payload {number}"


def _frames(layout: DocumentLayout, data: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield each frame with its location, and the number of its payload."""
    parts = layout.parts()
    for i, (start, frame) in enumerate(
        zip(layout.starts, layout.frames(), strict=True)
    ):
        yield data + start - len(frame), frame, i
        for n, more in enumerate(parts.get(i, ()), 1):
            yield data + start + n * (PART + ALIGN) - ALIGN, more, i


def _sums_of_document(source: Source, layout: DocumentLayout, data: int) -> bytes:
    """Return the checksums of the payloads.

    Later reads are compared with the present checksums, so that another document that
    overwrites or replaces this one is noticed.
    """
    if is_remote(source):
        return _checked_sums(source, layout, data)
    start = data + layout.end + len(_SUMS) + 4
    return bytes(source.read(start, source.size - start - len(_SUMS_SUM) - 8))


def _checked_sums(source: Source, layout: DocumentLayout, data: int) -> bytes:
    """Return the checksums of the payloads, compared with their own."""
    tail = bytes(source.read(data + layout.end, source.size - data - layout.end))
    sums = tail[len(_SUMS) + 4 : -len(_SUMS_SUM) - 8]
    if tail != document_tail(sums):
        raise RecordChecksumError(source.name, "the checksums")
    return sums


_FIRST_READ = 4096
_COLUMNWISE = 1 << 20
"""A header of so many bytes is read column by column, each compacted immediately."""

_COLUMNS = {
    "offset": Column("offset", are_sizes, is_size),
    "planes": Column("number among the planes", are_sizes, is_size),
}

_COLUMNS_OF: dict[int, dict[str, Column]] = {
    VERSION: _COLUMNS,
    document_index.VERSION: {**_COLUMNS, **document_index.COLUMNS},
    document_parts.VERSION: document_parts.COLUMNS,
    block_sums.VERSION: _COLUMNS,
}
"""The columns of each version's table beyond those of every record."""


MessagePack.register()
