"""`.safetensors`: the files of the safetensors library, both ways.

What the library has no place for (IDs, kinds, ties, checksums, metadata that is no
text) is JSON in `__metadata__`, under the key "burnish"; others read past it.
"""

import struct
from collections.abc import Iterable
from typing import Any

import torch

from ..dtypes import NAME_OF
from ..entry import Entry
from ..errors import RecordError, RecordFormatError, RecordVersionError
from ..flat import FlatRecord
from ..format import Format, WriteOptions
from ..header import header_of, record_of
from ..payload import stored_size, write_payloads
from ..sink import Buffer, Sink
from ..source import MemorySource, Source
from .json_reader import JsonReader, quick_value
from .json_text import plain_text
from .safetensors_header import DTYPES, MAX_HEADER, Tensor, check_places, read_header
from .stored import Stored

VERSION = 1

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_RANKS = {dtype: rank for rank, dtype in enumerate(DTYPES.values())}

_OURS = "burnish"
_MANY = 20_000
"""Tensors from which on a header may take too much memory to read."""


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
        if len(entries) > _MANY:
            _check_readable(header, sum(map(stored_size, entries, dtypes)))
        sink.write(header)
        _payloads(entries, dtypes, order, sink, options)

    def read(self, source: Source) -> FlatRecord:
        """Return the record; sums are checked if there are any, framing always."""
        tensors, metadata, data = read_header(source, source.size)
        check_places(tensors, source, data)
        sums: dict[str, bytes] = {}
        if _OURS in metadata:
            record, sums = _our_record(tensors, metadata, source.name, source.size)
        else:
            record = _foreign_record(tensors, metadata, source)
        for entry in record.entries():
            name = _name(entry) if sums else entry.path
            start, end = tensors[name][2]
            entry.source = Stored(
                source,
                entry.path,
                entry.dtype,
                entry.shape,
                ((data + start, end - start),),
                sums.get(name),
            )
        record.hold(source, has_sums=_OURS in metadata)
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
    """Return the name under which a tied tensor is stored: the library's choice."""
    return min((entry.path, *entry.ties))


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
    ours = header_of(record, dtypes)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    texts: dict[str, str] = header["__metadata__"]
    for key, value in record.metadata.items():
        if isinstance(value, str) and key not in ("format", _OURS):
            texts[key] = value
            del ours["metadata"][key]
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
    texts[_OURS] = plain_text({_OURS: VERSION, **ours}).decode()
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
        _our_record(tensors, metadata, "", budget)
    except RecordFormatError as error:
        raise RecordError(
            "too many tensors for one .safetensors file of so few bytes; write .mpk, "
            "or several files"
        ) from error


def _our_record(
    tensors: dict[str, Tensor], metadata: dict[str, str], file: str, budget: int
) -> tuple[FlatRecord, dict[str, bytes]]:
    text = metadata[_OURS].encode()
    plain = quick_value(text, budget)
    if not isinstance(plain, dict):
        reader = JsonReader(MemorySource(text, name=file), budget)
        plain = reader.value()
        if reader.next() or not isinstance(plain, dict):
            raise reader.error("something else than one map under the key 'burnish'")
    fields: dict[str, Any] = plain
    version, table = fields.pop(_OURS, None), fields.get("tensors")
    if type(version) is int and version > VERSION:
        raise RecordVersionError(file, version, VERSION, "its key 'burnish'")
    if version != VERSION or not isinstance(table, dict):
        raise RecordFormatError(file, "damaged metadata under the key 'burnish'")
    columns: dict[str, Any] = table
    names = _stored_names(columns, tensors, file)
    record = record_of(fields, file, columns=("xxh3",))
    for name, entry in zip(names, record.entries(), strict=True):
        if tensors[name][:2] != (entry.dtype, list(entry.shape)):
            raise RecordFormatError(
                file, f"another dtype or shape of {name!r:.80} than was written"
            )
    aliases = {p for e in record.entries() for p in (e.path, *e.ties)} - tensors.keys()
    for key, value in metadata.items():
        if key not in aliases and key not in ("format", _OURS):
            record.metadata[key] = value
    return record, _sums(names, columns["xxh3"], file)


def _stored_names(
    table: dict[str, Any], tensors: dict[str, Tensor], file: str
) -> list[str]:
    """Return each row's name in the file; every tensor must be in one row."""
    paths, ties = table.get("path"), table.get("ties")
    names: dict[int, str] = {}
    if isinstance(paths, list) and all(isinstance(path, str) for path in paths):  # pyright: ignore[reportUnknownVariableType]  # any list
        names = dict(enumerate(paths))  # pyright: ignore[reportUnknownArgumentType]  # checked above
    for pair in ties if isinstance(ties, list) else ():  # pyright: ignore[reportUnknownVariableType]  # any list
        match pair:
            case [int(i), list(others)] if i in names:
                names[i] = min((names[i], *(str(other) for other in others)))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # any list
            case _:
                raise RecordFormatError(file, "damaged ties under the key 'burnish'")
    if len(names) != len(tensors) or set(names.values()) != tensors.keys():
        raise RecordFormatError(
            file,
            "other tensors than its key 'burnish' says",
            cure="Was it edited? Without that key it is read as any .safetensors file.",
        )
    return list(names.values())


def _sums(names: list[str], texts: Any, file: str) -> dict[str, bytes]:
    try:
        sums = [bytes.fromhex(text) for text in texts]
    except (TypeError, ValueError):
        sums = []
    if len(sums) != len(names) or any(len(digest) != 8 for digest in sums):
        raise RecordFormatError(file, "damaged checksums under the key 'burnish'")
    return dict(zip(names, sums, strict=True))


def _foreign_record(
    tensors: dict[str, Tensor], metadata: dict[str, str], source: Source
) -> FlatRecord:
    names = sorted(tensors, key=lambda name: tensors[name][2])
    ties: dict[str, list[str]] = {}
    for alias, name in metadata.items():
        # save_model of the library says so which name it left out for which.
        if alias != "format" and name in tensors and alias not in tensors:
            ties.setdefault(name, []).append(alias)
    aliases = {alias for others in ties.values() for alias in others}
    table = {
        "path": names,
        "kind": ["tensor"] * len(names),
        "id": [None] * len(names),
        "dtype": [NAME_OF[tensors[name][0]] for name in names],
        "shape": [tensors[name][1] for name in names],
        "requires_grad": [False] * len(names),
        "ties": [[i, ties[name]] for i, name in enumerate(names) if name in ties],
        "memory_format": [],
    }
    texts = {key: text for key, text in metadata.items() if key not in aliases}
    plain = {
        "kind": "module",
        "type": "",
        "metadata": {},
        "tree": None,
        "tensors": table,
    }
    record = record_of(plain, source.name)
    record.metadata.update(texts)
    return record


SafeTensors.register()
