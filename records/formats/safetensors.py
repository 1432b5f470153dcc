"""`.safetensors`: the files of the safetensors library, both ways.

What the library has no place for (IDs, kinds, ties, checksums, metadata that is no
text) is JSON in `__metadata__`, under the key "burnish"; others read past it.
"""

import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import orjson
import torch

from ..entries.entries import Entries
from ..errors import RecordError, RecordFormatError
from ..format import Format, WriteOptions
from ..header.header import Plain
from ..io.lazy_payload import LazyPayload
from ..io.sink import Sink, can_write_over, write_over
from ..io.source import MemorySource, Source
from ..limits import allowance
from ..writing.contents import Contents
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

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_RANKS = {dtype: rank for rank, dtype in enumerate(DTYPES.values())}


class SafeTensors(Format):
    """For other libraries: tensors by name, mapped, with our checksums beside them."""

    name = "safetensors"
    suffixes = (".safetensors",)
    typed = False
    omits = frozenset({"transient"})

    def recognizes(self, head: bytes, source: Source) -> bool:
        """Return whether a header's length and the header's first bytes stand there."""
        length = int.from_bytes(head[:8], "little")
        return head[8:10] in (b'{"', b"{}", b"{ ") and length <= MAX_HEADER

    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        """Write the tensors in the library's order, their sums before them.

        The sums are known when all was written; they are put into the header then, or
        computed ahead where the sink takes bytes one after the other only.
        """
        header = contents.header
        names = _names(header["tensors"])
        ranks = list(map(_rank, contents.dtypes, header["tensors"]["path"]))
        order = sorted(range(len(names)), key=lambda i: (ranks[i], names[i]))
        can_patch = can_write_over(sink)
        if can_patch:
            sums = bytes(8 * len(names))
        else:
            contents.hash_ahead()
            sums = contents.sums
        text, place = _header_text(contents, header, names, order, sums)
        if most_memory(text) > allowance(0):
            _check_readable(text, sum(contents.sizes))
        sink.write(text)
        contents.write_payloads(sink, order=order)
        if can_patch:
            write_over(sink, place, _sums_text(contents.sums))

    def decode(self, source: Source) -> Entries:
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
            name = _name((entry.path, *entry.ties)) if is_ours else entry.path
            start, _ = tensors[name][2]
            entry.source = LazyPayload(
                source,
                entry.path,
                entry.dtype,
                entry.shape,
                data + start,
                sums.get(name),
            )
        record.hold(source, has_sums=is_ours)
        return record


def _names(table: dict[str, Any]) -> list[str]:
    """Return the name of each tensor in the file: of its paths the first, as there."""
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
            f"{paths[0]}: .safetensors keeps that name for its metadata; write "
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
    """Return the sums as they stand in the header: JSON inside a text of JSON."""
    texts = [sums[at : at + 8].hex() for at in range(0, len(sums), 8)]
    return plain_text(plain_text(texts).decode())[1:-1]


def _header_text(
    contents: Contents,
    ours: Plain,
    names: list[str],
    order: list[int],
    sums: bytes,
) -> tuple[bytes, int]:
    """Return the header with its length before it, and where its sums stand."""
    texts, tensors = {"format": "pt"}, dict[str, Any]()
    table = ours["tensors"]
    ties = dict(table["ties"])
    reserved = {"format", OURS, *table["path"], *chain.from_iterable(ties.values())}
    for key, value in list(ours["metadata"].items()):
        # The library's own keys are its tensors' other names, among others.
        if isinstance(value, str) and key not in reserved:
            texts[key] = ours["metadata"].pop(key)
    for i, name in enumerate(names):
        paths = (table["path"][i], *ties.get(i, ()))
        texts.update({alias: name for alias in paths if alias != name})
    at = 0
    for i in order:
        end = at + contents.sizes[i]
        tensors[names[i]] = {
            "dtype": _NAMES[contents.dtypes[i]],
            "shape": table["shape"][i],
            "data_offsets": [at, end],
        }
        at = end
    table["xxh3"] = [sums[8 * i : 8 * i + 8].hex() for i in range(len(names))]
    texts[OURS] = plain_text({OURS: VERSION, **ours}).decode()
    metadata = plain_text({METADATA: texts})[:-1]
    text = metadata + (b"," if tensors else b"") + orjson.dumps(tensors)[1:]
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise RecordError(
            f"the header would take {len(text):,} bytes, and .safetensors files may "
            f"have {MAX_HEADER:,}; write .mpk"
        )
    # They are the last thing in the metadata, whatever a user's texts look like.
    return struct.pack("<Q", len(text)) + text, 8 + metadata.rindex(_sums_text(sums))


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
