"""The record that the header of a `.safetensors` file describes: ours, or another's."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..entries.entries import Entries
from ..entries.entry import Entry
from ..errors import RecordFormatError, RecordVersionError
from ..header.columns import Column
from ..header.header import plain_of, record_of_header
from ..io.source import Source
from ..tensors.dtypes import NAME_OF
from .json_reader import JsonReader, quick_value
from .safetensors_header import METADATA, Tensor, names_in_order

VERSION = 1
OURS = "burnish"
"""The key of the metadata that holds what the library has no place for."""


def name_among(paths: Iterable[str]) -> str | None:
    """Return the one of a tied tensor's paths that the library chooses too."""
    return min((path for path in paths if path != METADATA), default=None)


def our_record(
    tensors: dict[str, Tensor], metadata: dict[str, str], file: str, budget: int
) -> tuple[Entries, dict[str, bytes]]:
    """Return the record that our key describes, and each stored name's checksum."""
    fields = _our_fields(metadata.pop(OURS).encode(), file, budget)
    version = fields.pop(OURS, None)
    if type(version) is int and version > VERSION:
        raise RecordVersionError(file, version, VERSION, "its key 'burnish'")
    if type(version) is not int or version != VERSION:
        raise RecordFormatError(file, "damaged metadata under the key 'burnish'")
    record = record_of_header(fields, file, added=_COLUMNS)
    texts = fields["tensors"]["xxh3"]
    # The table becomes entries, and is in memory no more beside them.
    del fields
    names = _stored_names(record.entries(), tensors, file)
    for name, entry in zip(names, record.entries(), strict=True):
        if tensors[name][:2] != (entry.dtype, entry.shape):
            raise RecordFormatError(
                file, f"another dtype or shape of {name!r:.80} than was written"
            )
    aliases = {p for e in record.entries() for p in (e.path, *e.ties)} - tensors.keys()
    for key, value in metadata.items():
        if key not in aliases and key not in ("format", OURS):
            record.metadata[key] = value
    return record, _sums(names, texts, file)


def _our_fields(text: bytes, file: str, budget: int) -> dict[str, Any]:
    quick = quick_value(text, budget)
    if isinstance(quick, dict):
        return quick  # pyright: ignore[reportUnknownVariableType]  # JSON
    reader = JsonReader.of(text, file, budget)
    if reader.next() != b"{":
        raise reader.error("something else than one map under the key 'burnish'")
    fields = plain_of(reader, file, _COLUMNS)
    if reader.next():
        raise reader.error("something after the end")
    return fields


def _stored_names(
    entries: Sequence[Entry], tensors: dict[str, Tensor], file: str
) -> list[str]:
    """Return each entry's name in the file; every tensor must be one of them."""
    names = [name_among((e.path, *e.ties)) or METADATA for e in entries]
    if len(names) != len(tensors) or set(names) != tensors.keys():
        raise RecordFormatError(
            file,
            "other tensors than its key 'burnish' says",
            cure="Was it edited? Without that key it is read as any .safetensors file.",
        )
    return names


def _sums(names: list[str], texts: list[str], file: str) -> dict[str, bytes]:
    if len(texts) != len(names):
        raise RecordFormatError(file, "damaged checksums under the key 'burnish'")
    return dict(zip(names, map(bytes.fromhex, texts), strict=True))


def foreign_record(
    tensors: dict[str, Tensor], metadata: dict[str, str], source: Source
) -> Entries:
    """Return the record of another library's file, ties as it has them."""
    names = names_in_order(tensors)
    ties: dict[str, list[str]] = {}
    for alias, name in metadata.items():
        # save_model of the library says so which name it left out for which.
        if alias != "format" and name in tensors and alias not in tensors:
            ties.setdefault(name, []).append(alias)
    aliases = {alias for tied in ties.values() for alias in tied}
    table = {
        "path": names,
        "kind": ["tensor"] * len(names),
        "id": [None] * len(names),
        "dtype": [NAME_OF[tensors[name][0]] for name in names],
        "shape": [list(tensors[name][1]) for name in names],
        "requires_grad": [False] * len(names),
        "ties": [[i, ties[name]] for i, name in enumerate(names) if name in ties],
        "memory_format": [],
    }
    texts = {key: text for key, text in metadata.items() if key not in aliases}
    header = {
        "kind": "module",
        "type": "",
        "metadata": {},
        "tree": None,
        "tensors": table,
    }
    record = record_of_header(header, source.name)
    record.metadata.update(texts)
    return record


_SUM = re.compile("[0-9a-f]{16}")


def _is_sum(text: object) -> bool:
    return isinstance(text, str) and _SUM.fullmatch(text) is not None


_COLUMNS = {"xxh3": Column("checksum", lambda texts: all(map(_is_sum, texts)), _is_sum)}
