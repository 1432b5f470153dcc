"""`.safetensors`: the files of the safetensors library, both ways.

What the library has no place for (IDs, kinds, ties, checksums, metadata that is no
text) is JSON in `__metadata__`, under the key "burnish"; others read past it.
"""

import struct
from collections.abc import Iterable
from typing import Any

import torch

from ..entry import Entry
from ..errors import RecordError, RecordFormatError
from ..flat import FlatRecord
from ..format import Format, WriteOptions
from ..header import (
    header_of,
)
from ..limits import allowance
from ..payload import stored_size, write_payloads
from ..sink import Buffer, Sink
from ..source import MemorySource, Source
from .json_reader import most_memory
from .json_text import plain_text
from .safetensors_header import (
    DTYPES,
    MAX_HEADER,
    METADATA,
    check_places,
    read_header,
)
from .safetensors_record import OURS, VERSION, foreign_record, name_among, our_record
from .stored import Stored

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_RANKS = {dtype: rank for rank, dtype in enumerate(DTYPES.values())}


class SafeTensors(Format):
    """For other libraries: tensors by name, mapped, with our checksums beside them."""

    name = "safetensors"
    suffixes = (".safetensors",)
    typed = False

    def recognizes(self, head: bytes, source: Source) -> bool:
        """Return whether a header's length and the header's first bytes stand there."""
        length = int.from_bytes(head[:8], "little")
        return head[8:10] in (b'{"', b"{}", b"{ ") and length <= MAX_HEADER

    def write(self, record: FlatRecord, sink: Sink, options: WriteOptions) -> None:
        """Write the tensors, without non-persistent buffers, in the library's order."""
        record = _shared_with_others(record)
        entries = record.entries()
        dtypes = options.stored_dtypes(entries)
        order = sorted(
            range(len(entries)),
            key=lambda i: (_rank(dtypes[i], entries[i]), _name(entries[i])),
        )
        sums = _payloads(entries, dtypes, range(len(entries)), _Unwritten(), options)
        header = _header(record, dtypes, order, sums)
        if most_memory(header) > allowance(0):
            _check_readable(header, sum(map(stored_size, entries, dtypes)))
        sink.write(header)
        _payloads(entries, dtypes, order, sink, options)

    def read(self, source: Source) -> FlatRecord:
        """Return the record; sums are checked if there are any, framing always."""
        tensors, metadata, data = read_header(source, source.size)
        check_places(tensors, source, data)
        sums: dict[str, bytes] = {}
        is_ours = OURS in metadata
        if is_ours:
            record, sums = our_record(tensors, metadata, source.name, source.size)
        else:
            record = foreign_record(tensors, metadata, source)
        for entry in record.entries():
            name = _name(entry) if is_ours else entry.path
            start, end = tensors[name][2]
            entry.source = Stored(
                source,
                entry.path,
                entry.dtype,
                entry.shape,
                ((data + start, end - start),),
                sums.get(name),
            )
        record.hold(source, has_sums=is_ours)
        return record


def _shared_with_others(record: FlatRecord) -> FlatRecord:
    entries = [entry for entry in record.entries() if entry.kind != "transient"]
    for entry in entries:
        if entry.kind == "extra":
            raise RecordError(
                f"{entry.path}: a tensor in a module's extra state has no name in "
                ".safetensors; write .mpk, or leave it out with exclude="
            )
    return record.replaced(entries=entries)


def _name(entry: Entry) -> str:
    """Return the name under which a tensor is stored."""
    name = name_among((entry.path, *entry.ties))
    if name is None:
        raise RecordError(
            f"{entry.path}: .safetensors keeps that name for its metadata; write "
            ".mpk, or give the tensor another name"
        )
    return name


def _rank(dtype: torch.dtype, entry: Entry) -> int:
    if dtype not in _RANKS:
        raise RecordError(
            f"{entry.path}: .safetensors cannot hold {dtype}; write .mpk, or convert it"
        )
    return _RANKS[dtype]


def _payloads(
    entries: list[Entry],
    dtypes: list[torch.dtype],
    order: Iterable[int],
    sink: Sink,
    options: WriteOptions,
) -> bytes:
    chosen = list(order)
    return write_payloads(
        [entries[i] for i in chosen],
        [dtypes[i] for i in chosen],
        [b""] * len(chosen),
        sink,
        precision=options.precision,
        progress=None if isinstance(sink, _Unwritten) else options.progress,
    )


class _Unwritten:
    """Where bytes go that are only hashed: the header holds their sums."""

    def write(self, buffer: Buffer) -> None:
        """Do nothing."""

    def writev(self, buffers: Iterable[Buffer]) -> None:
        """Do nothing."""


def _header(
    record: FlatRecord, dtypes: list[torch.dtype], order: list[int], sums: bytes
) -> bytes:
    entries, at = record.entries(), 0
    taken = {"format", OURS, *(p for e in entries for p in (e.path, *e.ties))}
    texts: dict[str, str] = {"format": "pt"}
    rest: dict[str, Any] = {}
    for key, value in record.metadata.items():
        # The library's own keys are its tensors' other names, among others.
        is_free = isinstance(value, str) and key not in taken
        (texts if is_free else rest)[key] = value
    ours = header_of(record.replaced(metadata=rest), dtypes)
    header: dict[str, Any] = {METADATA: texts}
    for entry in entries:
        name = _name(entry)
        texts.update(
            {alias: name for alias in (entry.path, *entry.ties) if alias != name}
        )
    for i in order:
        size = stored_size(entries[i], dtypes[i])
        header[_name(entries[i])] = {
            "dtype": _NAMES[dtypes[i]],
            "shape": list(entries[i].shape),
            "data_offsets": [at, at + size],
        }
        at += size
    ours["tensors"]["xxh3"] = [
        sums[8 * i : 8 * i + 8].hex() for i in range(len(entries))
    ]
    texts[OURS] = plain_text({OURS: VERSION, **ours}).decode()
    text = plain_text(header)
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise RecordError(
            f"the header would take {len(text):,} bytes, and .safetensors files may "
            f"have {MAX_HEADER:,}; write .mpk"
        )
    return struct.pack("<Q", len(text)) + text


def _check_readable(header: bytes, size: int) -> None:
    """Raise RecordError if the reader would refuse a file that begins so."""
    budget = len(header) + size
    try:
        tensors, metadata, _ = read_header(MemorySource(header), budget)
        our_record(tensors, metadata, "", budget)
    except RecordFormatError as error:
        raise RecordError(
            f"more metadata or plain data than a reader takes ({error.found}). Write "
            ".mpk, or store long lists of numbers as tensors or arrays"
        ) from error


SafeTensors.register()
