"""The record described by the header of a `.safetensors` file, ours or another's."""

import re
from array import array
from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple

from ..entries.entries import Entries
from ..errors import RecordFormatError, RecordVersionError
from ..header.columns import Column
from ..header.header import plain_of, stored_record
from ..header.stored_entries import StoredEntries
from ..io.source import Source
from ..tensors.dtypes import NAME_OF
from .json_reader import JsonReader, quick_value
from .long_texts import LongText
from .safetensors_header import METADATA, OURS, HeaderTensors, SafeTensorsHeader

VERSION = 1


def name_among(paths: Iterable[str]) -> str | None:
    """Return that path of a tied tensor which the library would choose too."""
    return min((path for path in paths if path != METADATA), default=None)


class PlacedRecord(NamedTuple):
    """A record of a file, and the locations of its entries, in their order."""

    record: Entries
    entries: StoredEntries
    starts: "array[int]"
    """Counted from the end of the header."""
    sums: bytes | None
    """8 bytes of each; None for files of other programs."""


def our_record(
    header: SafeTensorsHeader, ours: LongText, file: str, budget: int
) -> PlacedRecord:
    """Return the record described by ``ours``; remove its tensors from the header."""
    tensors = header.tensors
    fields = _our_fields(ours, file, budget)
    version = fields.pop(OURS, None)
    if type(version) is int and version > VERSION:
        raise RecordVersionError(file, version, VERSION, "its key 'burnish'")
    if type(version) is not int or version != VERSION:
        raise RecordFormatError(file, "damaged metadata under the key 'burnish'")
    record, entries = stored_record(fields, file, added=_COLUMNS)
    sums = fields["tensors"]["xxh3"]
    if len(sums) != 8 * len(entries):
        raise RecordFormatError(file, "damaged checksums under the key 'burnish'")
    aliases = _aliases(entries, tensors)
    starts = _taken_starts(entries, tensors, file)
    for key, value in header.metadata.items():
        if key not in aliases and key not in ("format", OURS):
            record.metadata[key] = value
    return PlacedRecord(record, entries, starts, sums)


def _our_fields(text: LongText, file: str, budget: int) -> dict[str, Any]:
    quick = quick_value(text, budget) if isinstance(text, bytes) else None
    if isinstance(quick, dict):
        return quick  # pyright: ignore[reportUnknownVariableType]  # JSON
    reader = JsonReader.of(text, file, budget)
    if reader.next() != b"{":
        raise reader.error("something other than one map under the key 'burnish'")
    fields = plain_of(reader, file, _COLUMNS)
    if reader.next():
        raise reader.error("data after the end")
    return fields


def _aliases(entries: StoredEntries, tensors: HeaderTensors) -> set[str]:
    """Return the paths of tied tensors that are not names in the file."""
    ties = (paths for paths in entries.all_paths() if len(paths) > 1)
    return set(chain.from_iterable(ties)) - tensors.numbers.keys()


def _taken_starts(
    entries: StoredEntries, tensors: HeaderTensors, file: str
) -> "array[int]":
    """Remove each entry's tensor from ``tensors``; return where they begin.

    One by one, so that for a file of many no second list of all is in memory.
    """
    starts = array("q")
    rows = zip(entries.all_paths(), entries.dtypes, entries.shapes, strict=True)
    for paths, dtype, shape in rows:
        name = name_among(paths) or METADATA
        number = tensors.numbers.pop(name, None)
        if number is None:
            raise _other_tensors(file)
        if tensors.types[number] != (dtype, tuple(shape)):
            raise RecordFormatError(
                file, f"a dtype or shape of {name!r:.80} other than was written"
            )
        starts.append(tensors.starts[number])
    if tensors.numbers:
        raise _other_tensors(file)
    return starts


def _other_tensors(file: str) -> RecordFormatError:
    return RecordFormatError(
        file,
        "tensors other than its key 'burnish' lists",
        cure="Was it edited? Without that key it is read as any .safetensors file.",
    )


def foreign_record(header: SafeTensorsHeader, source: Source) -> PlacedRecord:
    """Return the record of another library's file, with its ties."""
    tensors, metadata = header.tensors, header.metadata
    names, numbers = tensors.in_order(), tensors.numbers
    types = [tensors.types[numbers[name]] for name in names]
    ties: dict[str, list[str]] = {}
    for alias, name in metadata.items():
        # The library's save_model states which name it left out for which.
        if alias != "format" and name in numbers and alias not in numbers:
            ties.setdefault(name, []).append(alias)
    aliases = {alias for tied in ties.values() for alias in tied}
    table = {
        "path": names,
        "kind": ["tensor"] * len(names),
        "id": [None] * len(names),
        "dtype": [NAME_OF[dtype] for dtype, _ in types],
        "shape": [list(shape) for _, shape in types],
        "requires_grad": [False] * len(names),
        "ties": [[i, ties[name]] for i, name in enumerate(names) if name in ties],
        "memory_format": [],
    }
    texts = {key: text for key, text in metadata.items() if key not in aliases}
    plain_values = {
        "kind": "module",
        "type": "",
        "metadata": {},
        "tree": None,
        "tensors": table,
    }
    record, entries = stored_record(
        plain_values, source.name, added={}, has_paths=False
    )
    record.metadata.update(texts)
    starts = array("q", (tensors.starts[numbers[name]] for name in names))
    return PlacedRecord(record, entries, starts, None)


_SUM = re.compile("[0-9a-f]{16}")


def _is_sum(text: object) -> bool:
    return isinstance(text, str) and _SUM.fullmatch(text) is not None


def _are_sums(texts: list[Any]) -> bool:
    return all(map(_is_sum, texts))


def _bytes_of(texts: list[str]) -> bytes:
    return bytes.fromhex("".join(texts))


_COLUMNS = {"xxh3": Column("checksum", _are_sums, _is_sum, _bytes_of)}
