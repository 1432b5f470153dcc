"""`.safetensors`: the files of the safetensors library, written and read.

What the library has no field for (IDs, kinds, ties, checksums, metadata that is not a
string) is JSON in `__metadata__`, under the key "burnish"; others skip it.
"""

import math
import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson
import torch

from ..entries.entries import Entries, set_source
from ..entries.entry import Entry
from ..errors import RecordError, RecordFormatError
from ..format import Format, WriteOptions
from ..header.header import Plain
from ..io.lazy_payload import LazyPayload, SumTable
from ..io.sink import Sink, can_write_over, write_over
from ..io.source import MemorySource, Source
from ..limits import LIST, MEMBER, NUMBER, TEXT, WORD, allowance
from ..writing.contents import Contents
from .json_reader import most_memory
from .json_text import header_text, plain_text
from .layout import ALIGN
from .safetensors_header import (
    DTYPES,
    MAX_HEADER,
    METADATA,
    OURS,
    check_spans,
    read_safetensors_header,
)
from .safetensors_record import (
    VERSION,
    PlacedRecord,
    foreign_record,
    name_among,
    our_record,
)

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_AFTER_BRACE = tuple(bytes([byte]) for byte in b'"} \t\r\n')
"""What JSON allows after the brace that begins a header, which some programs indent."""
_RANKS = {dtype: rank for rank, dtype in enumerate(DTYPES.values())}


class SafeTensors(Format):
    """For other libraries: tensors by name, mapped, with our checksums."""

    name = "safetensors"
    suffixes = (".safetensors",)
    typed = False
    omits = frozenset({"transient"})

    def recognizes(self, head: bytes, source: Source) -> bool:
        """Return whether this begins with a header's length and first bytes."""
        length = int.from_bytes(head[:8], "little")
        return head[8:9] == b"{" and head[9:10] in _AFTER_BRACE and length <= MAX_HEADER

    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        """Write the tensors, the widest first for alignment; checksums before them.

        The checksums are known when all was written; they are then put into the header,
        or computed beforehand if the sink can only be written in order.
        """
        header = contents.header
        names = _names(header["tensors"])
        ranks = list(map(_rank, contents.dtypes, header["tensors"]["path"]))
        # No bytes are allowed between two: each is aligned by the length of those
        # before it.
        steps = [-math.gcd(size, ALIGN) for size in contents.sizes]
        order = sorted(range(len(names)), key=lambda i: (steps[i], ranks[i], names[i]))
        can_patch = can_write_over(sink)
        if can_patch:
            sums = bytes(8 * len(names))
        else:
            contents.hash_ahead()
            sums = contents.sums
        n_ties = sum(len(ties) for _, ties in header["tensors"]["ties"])
        n_texts = 2 + len(header["metadata"]) + n_ties
        pieces, place = _header_pieces(contents, header, names, order, sums)
        length = sum(map(len, pieces))
        if _memory_of_reader(pieces[1:], header, n_texts) > allowance(length):
            _check_readable(b"".join(pieces), sum(contents.sizes))
        for piece in pieces:
            sink.write(piece)
        del pieces
        contents.write_payloads(sink, order=order)
        if can_patch:
            write_over(sink, place, _sums_text(contents.sums))

    def decode(self, source: Source) -> Entries:
        """Return the record; framing is always verified, checksums where present."""
        placed_record, data = _record_and_start(source)
        record, starts = placed_record.record, placed_record.starts
        sum_of = _sums_of(placed_record, data)

        def payload_of(i: int, entry: Entry) -> LazyPayload:
            return LazyPayload(
                source,
                entry.path,
                entry.dtype,
                entry.shape,
                data + starts[i],
                sum_of(i),
            )

        placed_record.entries.place(payload_of)
        is_ours = placed_record.sums is not None
        set_source(
            record, source, has_sums=is_ours, version=VERSION if is_ours else None
        )
        return record


def _record_and_start(source: Source) -> tuple[PlacedRecord, int]:
    """Return the record, and where the values begin.

    The header is no longer in memory when its rows become entries.
    """
    header = read_safetensors_header(source, source.size)
    check_spans(header.tensors, source, header.data)
    if header.ours is None:
        return foreign_record(header, source), header.data
    placed_record = our_record(header, header.ours, source.name, source.size)
    return placed_record, header.data


def _sums_of(
    placed_record: PlacedRecord, data: int
) -> Callable[[int], SumTable | bytes | None]:
    """Return what has the checksum of the payload of each entry."""
    sums = placed_record.sums
    if sums is None:
        return lambda i: None
    starts = np.array(placed_record.starts, np.int64)
    sizes = np.array(placed_record.entries.sizes, np.int64)
    # Several of those without bytes begin where another one does.
    empty = {i: sums[8 * i : 8 * i + 8] for i in np.flatnonzero(sizes == 0).tolist()}
    rows = np.flatnonzero(sizes)
    rows = rows[np.argsort(starts[rows])]
    of_rows = np.frombuffer(sums, np.int64)[rows].tobytes()
    table = SumTable(array("q", starts[rows].tobytes()), data, of_rows)
    return lambda i: empty.get(i, table)


def _names(table: dict[str, Any]) -> list[str]:
    """Return the name of each tensor in the file: the first of its paths, as there."""
    for path, kind in zip(table["path"], table["kind"], strict=True):
        if kind == "extra":
            raise RecordError(
                f"{path}: a tensor in a module's extra state has no name in "
                ".safetensors; write .mpk, or leave it out with exclude="
            )
    ties = dict(table["ties"])
    return [_name((p, *ties.get(i, ()))) for i, p in enumerate(table["path"])]


def _name(paths: Sequence[str]) -> str:
    """Return the name under which a tensor is stored."""
    name = name_among(paths)
    if name is None:
        raise RecordError(
            f"{paths[0]}: .safetensors reserves that name for its metadata; write "
            ".mpk, or give the tensor another name"
        )
    return name


def _rank(dtype: torch.dtype, path: str) -> int:
    if dtype not in _RANKS:
        raise RecordError(
            f"{path}: .safetensors cannot hold {dtype}; write .mpk, or convert it"
        )
    return _RANKS[dtype]


def _sums_text(sums: bytes) -> bytes:
    """Return the checksums as in the header: JSON inside a string of JSON."""
    texts = [sums[at : at + 8].hex() for at in range(0, len(sums), 8)]
    return plain_text(plain_text(texts).decode())[1:-1]


def _header_pieces(
    contents: Contents,
    ours: Plain,
    names: list[str],
    order: list[int],
    sums: bytes,
) -> tuple[list[bytes], int]:
    """Return the header with its length before it, and where its checksums are.

    In pieces: joined it would be in memory twice.
    """
    texts = {"format": "pt"}
    table = ours["tensors"]
    ties = dict(table["ties"])
    reserved = {"format", OURS, *table["path"], *chain.from_iterable(ties.values())}
    for key, value in list(ours["metadata"].items()):
        # The library's own keys include its tensors' other names.
        if isinstance(value, str) and key not in reserved:
            texts[key] = ours["metadata"].pop(key)
    for i, name in enumerate(names):
        paths = (table["path"][i], *ties.get(i, ()))
        texts.update({alias: name for alias in paths if alias != name})
    table["xxh3"] = [sums[8 * i : 8 * i + 8].hex() for i in range(len(names))]
    texts[OURS] = header_text({OURS: VERSION, **ours}).decode()
    del table["xxh3"]
    metadata = plain_text({METADATA: texts})[:-1]
    texts.clear()
    # They are the last thing in the metadata, whatever a user's strings look like.
    place = 8 + metadata.rindex(_sums_text(sums))
    pieces = [metadata]
    for row in _rows(contents, table, names, order):
        pieces += (b",", row)
    pieces.append(b"}")
    pieces.append(b" " * (-(8 + sum(map(len, pieces))) % ALIGN))
    length = sum(map(len, pieces))
    if length > MAX_HEADER:
        raise RecordError(
            f"the header would take {length:,} bytes, but .safetensors files may "
            f"have {MAX_HEADER:,}; write .mpk"
        )
    return [struct.pack("<Q", length), *pieces], place


def _rows(
    contents: Contents, table: dict[str, Any], names: list[str], order: list[int]
) -> Iterator[bytes]:
    """Yield the descriptions of the tensors, as members of the header's map.

    A thousand at a time: beside their text, the maps of all would take most of the
    memory of a save.
    """
    at = 0
    for begin in range(0, len(order), _ROWS):
        tensors: dict[str, Any] = {}
        for i in order[begin : begin + _ROWS]:
            end = at + contents.sizes[i]
            tensors[names[i]] = {
                "dtype": _NAMES[contents.dtypes[i]],
                "shape": table["shape"][i],
                "data_offsets": [at, end],
            }
            at = end
        yield orjson.dumps(tensors)[1:-1]


_ROWS = 1024


def _memory_of_reader(pieces: list[bytes], ours: Plain, n_texts: int) -> int:
    """Return an upper bound for the memory of a reader of a header.

    It keeps no row of a tensor and no column of the table for long, so that the largest
    column counts, and the other plain data. ``n_texts`` is the maximal number of
    strings in the metadata.
    """
    table = ours["tensors"]
    sparse = {name: table[name] for name in ("ties", "memory_format")}
    text_memory = most_memory(plain_text({**ours, "tensors": sparse}))
    n_sizes = sum(map(len, table["shape"]))
    column = len(table["shape"]) * (LIST + 2 * NUMBER) + n_sizes * NUMBER
    texts = n_texts * (MEMBER + 2 * (TEXT + WORD))
    width = 1 if all(map(bytes.isascii, pieces)) else 4
    length = sum(map(len, pieces))
    return text_memory + column + texts + length * width + _ROW


_ROW = 1 << 14
"""Memory of one tensor in the header, besides its name: at most 64 sizes."""


def _check_readable(header: bytes, size: int) -> None:
    """Raise RecordError if the reader would refuse a file with this beginning."""
    budget = len(header) + size
    try:
        fields = read_safetensors_header(MemorySource(header), budget)
        our_record(fields, fields.ours or b"", "", budget)
    except RecordFormatError as error:
        raise RecordError(
            f"more metadata or plain data than a reader accepts ({error.found}). Write "
            ".mpk, or store long lists of numbers as tensors or arrays"
        ) from error


SafeTensors.register()
