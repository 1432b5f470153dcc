"""`.json`: a record for human readers, as numbers that are exact (docs/format.md).

    {"burnish": 1, "kind": ..., "type": ..., "metadata": ..., "tree": ...,
     "tensors": [{"path": ..., "dtype": ..., "shape": ..., "values": [...],
                  "xxh3": ...}, ...]}

Keys may be in any order and spaces anywhere. To edit values by hand, delete the
`xxh3` of that tensor.
"""

import re
from collections.abc import Iterator
from typing import Any

from ..entries.entries import Entries, set_source
from ..errors import (
    ADDED,
    ForeignFileError,
    RecordError,
    RecordFormatError,
    RecordVersionError,
)
from ..format import Format, WriteOptions
from ..header.columns import SHARED, is_text
from ..header.header import stored_record
from ..io.foreign import foreign_json
from ..io.sink import Sink
from ..io.source import MemorySource, Source, at_hand
from ..limits import TEXT, WORD, allowance, odd_text_in_row
from ..writing.contents import Contents, RowPayload
from .json_reader import JsonReader, most_memory
from .json_text import header_text, plain_text
from .json_values import Texts, base64_text, number_lines

VERSION = 1

_ROW_COST = 1 << 14
"""Memory of a row while it is read, besides its path and ties."""
_TOP = ("kind", "type", "metadata", "tree")
_ROW: dict[str, object] = {
    "path": None,
    "kind": None,
    "id": None,
    "dtype": None,
    "shape": None,
    "requires_grad": False,
    "ties": [],
    "memory_format": None,
    "xxh3": None,
}
"""The possible keys of a row, with the value of a missing one."""
_COLUMNS = ("path", "kind", "id", "dtype", "shape", "requires_grad")
_SPARSE = ("ties", "memory_format")

_BEGIN = re.compile(rb'(\xef\xbb\xbf)?\s*\{\s*["}]')
_SUM = re.compile("[0-9a-f]{16}")


class Json(Format):
    """Readable and exact; for small records, or with ``payload="base64"``."""

    name = "json"
    suffixes = (".json",)

    def recognizes(self, head: bytes, source: Source) -> bool:
        """Return whether the file begins as a JSON map does."""
        return _BEGIN.match(head) is not None

    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        """Write a line for plain data, then each tensor's values in lines."""
        if options.payload not in (None, "numbers", "base64"):
            raise ValueError(
                "payload must be 'numbers' or 'base64' in JSON, got "
                f"{options.payload!r}"
            )
        header = contents.header
        sink.write(_head_text(header))
        separator = b"\n"
        for payload, row in zip(contents.payloads(), _rows_of(header), strict=True):
            sink.write(separator)
            _write_row(payload, row, sink, is_base64=options.payload == "base64")
            separator = b",\n"
        sink.write(b"\n]}\n")

    def decode(self, source: Source) -> Entries:
        """Return the record; the text is read whole, numbers are parsed on access."""
        source = at_hand(source)
        reader = JsonReader(source)
        header: dict[str, Any] = {}
        texts = Texts(source)
        for key in reader.members():
            if key == "burnish":
                _check_version(reader.value(), source.name)
                header[key] = VERSION
            elif key == "tensors":
                header[key] = _read_table(reader, texts)
            elif key in _TOP:
                header[key] = reader.value()
            elif "burnish" not in header or key == "step":
                # Of our files, only the list of a checkpoint's parts has a step.
                raise _foreign(key, source.name)
            else:
                raise reader.error(f"the unknown key {key!r:.80}")
        if reader.next():
            raise reader.error("data after the end", ADDED)
        if header.pop("burnish", None) is None:
            raise ForeignFileError(
                source.name,
                "JSON without the key 'burnish'",
                "a record",
                "It is not a record, or the key that gives its version was removed: "
                f'"burnish": {VERSION}.',
            )
        header = {"tree": None, "metadata": {}, **header}
        record, entries = stored_record(header, source.name, added={})
        entries.place(texts.payload_of)
        set_source(record, source, has_sums=not texts.without_sum, version=VERSION)
        return record


def _foreign(key: str, file: str) -> ForeignFileError:
    content, cure = foreign_json(key)
    return ForeignFileError(file, content, "a record", cure)


def _head_text(header: dict[str, Any]) -> bytes:
    lines = [b'{"burnish": %d' % VERSION]
    for key in _TOP:
        text = header_text({key: header[key]})
        lines.append(text[1:-1].replace(b":", b": ", 1))
    lines.append(b'"tensors": [')
    text = b",\n".join(lines)
    _check_readable(text, header["tensors"]["ties"])
    return text


def _check_readable(head: bytes, ties: list[Any]) -> None:
    """Raise RecordError if no reader would accept a file that begins with ``head``."""
    if most_memory(head) < allowance(0) - _ROW_COST and not ties:
        return
    try:
        reader = JsonReader(MemorySource(head + b"]}"), len(head) - _ROW_COST)
        for _ in reader.members():
            reader.value()
        for _, names in ties:
            reader.spend(_ties_cost(names))
    except RecordFormatError as error:
        raise RecordError(
            f"more metadata or plain data than a JSON reader accepts ({error.found}). "
            "Write .mpk, or store long lists of numbers as tensors or arrays"
        ) from error


def _ties_cost(names: list[str]) -> int:
    return sum(TEXT + WORD + len(name.encode()) for name in names)


def _rows_of(header: dict[str, Any]) -> Iterator[dict[str, Any]]:
    table = header["tensors"]
    sparse = {name: dict(table[name]) for name in _SPARSE}
    for i, values in enumerate(zip(*(table[name] for name in _COLUMNS), strict=True)):
        row = dict(zip(_COLUMNS, values, strict=True))
        row |= {name: sparse[name].get(i, _ROW[name]) for name in _SPARSE}
        yield {k: v for k, v in row.items() if v != _ROW[k]}


def _write_row(
    payload: RowPayload, row: dict[str, Any], sink: Sink, *, is_base64: bool
) -> None:
    sink.write(plain_text(row, odd_text_in_row)[:-1])
    if is_base64:
        sink.write(b', "base64": "')
        for text in base64_text(payload):
            sink.write(text)
        sink.write(b'"')
    else:
        sink.write(b', "values": [')
        for text in number_lines(payload):
            sink.write(text)
        sink.write(b"]")
    sink.write(b', "xxh3": "%b"}' % payload.sum.hex().encode())


def _read_table(reader: JsonReader, texts: Texts) -> dict[str, Any]:
    table: dict[str, list[Any]] = {name: [] for name in (*_COLUMNS, *_SPARSE)}
    cells = _Same()
    for i, _ in enumerate(reader.items()):
        before = reader.spent
        row = _read_row(reader, texts)
        for name in _COLUMNS:
            table[name].append(cells.shared(name, row[name]))
        for name in _SPARSE:
            if row[name] != _ROW[name]:
                table[name].append([i, row[name]])
        # The rest of a row is kept as an entry, which every file may have.
        reader.settle(before + _ties_cost(row["ties"]))
    return table


class _Same:
    """One object for all equal kinds, dtypes and shapes."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._shapes: dict[tuple[int, ...], list[int]] = {}

    def shared(self, name: str, value: Any) -> Any:
        """Return ``value`` of the column ``name``, or an equal one, checked later."""
        if name in SHARED and type(value) is str:
            return self._texts.setdefault(value, value)
        if name == "shape" and isinstance(value, list):
            sizes: list[Any] = value
            if all(type(size) is int for size in sizes):
                return self._shapes.setdefault((*sizes,), sizes)
        return value


def _read_row(reader: JsonReader, texts: Texts) -> dict[str, Any]:
    row, place = dict(_ROW), None
    for key in reader.members():
        if key in ("values", "base64"):
            if place is not None:
                raise reader.error("values twice")
            place = _place(reader, is_base64=key == "base64")
        elif key in _ROW:
            row[key] = reader.value()
        else:
            raise reader.error(f"the unknown key {key!r:.80}")
    total = row.pop("xxh3")
    if place is None or not isinstance(row["path"], str):
        raise reader.error("a tensor without a path or values")
    if total is not None and not (isinstance(total, str) and _SUM.fullmatch(total)):
        raise reader.error("an xxh3 that is not 16 hexadecimal digits")
    if not isinstance(row["ties"], list) or not all(map(is_text, row["ties"])):
        raise reader.error("a tensor with damaged ties")
    digest = bytes.fromhex(total) if total is not None else None
    start, end, is_base64 = place
    texts.add(start, end, digest, is_base64=is_base64)
    return row


def _place(reader: JsonReader, *, is_base64: bool) -> tuple[int, int, bool]:
    opening, closing = (b'"', b'"') if is_base64 else (b"[", b"]")
    reader.take(opening)
    start = reader.position
    end = reader.skip_to(closing)
    reader.take(closing)
    return start, end, is_base64


def _check_version(version: object, file: str) -> None:
    if isinstance(version, str) and version.isalpha():
        content = f"the --json output of a burnish command ({version!r:.40})"
        cure = "Pass the file that it describes."
        raise ForeignFileError(file, content, "a record", cure)
    if type(version) is not int or version < 1:
        raise RecordFormatError(file, f"the version {version!r:.40}", str(VERSION))
    if version > VERSION:
        raise RecordVersionError(file, version, VERSION, "the file's format")


Json.register()
