"""`.bpk`: Burn's own container ("burnpack"), written and read.

A CBOR map has the dtype, shape, location and ID of each tensor; the tensors follow,
each at a multiple of 256 bytes. What Burn has no field for is JSON among the strings of
that map, under the key "burnish"; Burn skips it. There are no checksums.
"""

from collections.abc import Mapping
from typing import Any

import torch

from ..entries.entries import Entries
from ..entries.nodes import scalar, tag_of
from ..errors import RecordError, RecordFormatError, RecordVersionError
from ..format import Format, WriteOptions
from ..io.sink import Sink
from ..io.source import Source
from ..limits import allowance, odd_text_in_header, unstorable_text
from ..writing.contents import Contents
from .burn_ids import number_of_id
from .burn_tensors import DTYPES, BurnTensor, record_of_tensors
from .burnpack_header import (
    ALIGN,
    MAGIC,
    MOST_HEADER,
    cost_of,
    head_of,
    read_burnpack_header,
)
from .json_reader import JsonReader, most_memory, quick_value
from .json_text import header_text

VERSION = 1
"""Version of the data under our key."""
OURS = "burnish"

_MOST_TENSOR, _MOST_FILE = 10 << 30, 100 << 30
_MOST_TENSORS = 100_000
"""Limits of Burn's reader; its writer does not check them."""

_NAMES: dict[torch.dtype, Any] = {
    dtype: name for name, dtype in DTYPES.items() if name != "Flex32"
} | {torch.bool: {"Bool": "Native"}}


class Burnpack(Format):
    """For Burn: tensors by name with their IDs, mapped."""

    name = "bpk"
    suffixes = (".bpk",)
    magic = MAGIC
    typed = False
    omits = frozenset({"transient"})
    has_sums = False

    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        """Write the tensors in the record's order, as Burn's own writer would.

        Raises `RecordError` for what Burn's reader would refuse.
        """
        header = contents.header
        starts, end = _starts(contents.sizes)
        try:
            tables = {"tensors": _table(header["tensors"], contents, starts)}
            tables |= _texts_and_scalars(header)
            head = head_of(tables)
        except UnicodeEncodeError as error:
            raise unstorable_text(str(odd_text_in_header(header))) from error
        _check_limits(tables, head, contents, end)
        _check_readable(tables, len(head) + end)
        sink.write(head)
        ends = [0, *map(sum, zip(starts, contents.sizes, strict=True))]
        contents.write_payloads(
            sink, [bytes(start - at) for start, at in zip(starts, ends, strict=False)]
        )

    def decode(self, source: Source) -> Entries:
        """Return the record; by default it has Burn's names and orders."""
        header = read_burnpack_header(source)
        texts = header.texts
        ours = texts.pop(OURS, None)
        if ours is None:
            record = record_of_tensors(
                header.tensors, source, metadata={OURS: {"convention": "burn"}}
            )
        else:
            fields = _our_fields(ours, source)
            metadata = fields["metadata"]
            record = record_of_tensors(
                _in_order(header.tensors, fields["ties"], source.name),
                source,
                metadata=metadata,
                tree=fields["tree"],
                type_name=_type_in(metadata),
            )
        record.metadata.update(texts)
        if header.scalars:
            record.metadata.setdefault(OURS, {})["scalars"] = header.scalars
        return record


def _starts(sizes: list[int]) -> tuple[list[int], int]:
    """Return the start of each tensor, counted from the first, and the end of all."""
    starts: list[int] = []
    at = 0
    for size in sizes:
        at += -at % ALIGN
        starts.append(at)
        at += size
    return starts, at


def _table(
    columns: Mapping[str, Any], contents: Contents, starts: list[int]
) -> dict[str, Any]:
    """Return the description of each tensor, by name; tied ones share a location.

    The ID is the first one's: Burn would train only one of two with the same ID.
    """
    rows: dict[str, Any] = {}
    ties: dict[int, list[str]] = dict(columns["ties"])
    for i, path in enumerate(columns["path"]):
        if columns["kind"][i] == "extra":
            raise RecordError(
                f"{path}: a tensor in a module's extra state has no name in .bpk; "
                "write .mpk, or leave it out with exclude="
            )
        row = {
            "dtype": _dtype_name(contents.dtypes[i], path),
            "shape": columns["shape"][i],
            "data_offsets": [starts[i], starts[i] + contents.sizes[i]],
        }
        for tied in ties.get(i, ()):
            rows[tied] = row
        param_id = columns["id"][i]
        rows[path] = (
            row if param_id is None else {**row, "param_id": number_of_id(param_id)}
        )
    return _sorted(rows)


def _dtype_name(dtype: torch.dtype, path: str) -> Any:
    if dtype not in _NAMES:
        raise RecordError(
            f"{path}: Burn has no {dtype}, so .bpk cannot hold it; write .mpk, convert "
            "it, or leave it out with exclude="
        )
    return _NAMES[dtype]


def _texts_and_scalars(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables beside the tensors; a record from Burn has none of ours."""
    metadata: dict[str, Any] = dict(header["metadata"])
    ours = metadata.get(OURS, {})
    texts = {k: v for k, v in metadata.items() if isinstance(v, str)}
    metadata = {k: v for k, v in metadata.items() if k not in texts}
    scalars = _scalars(ours.get("scalars"))
    ours = {k: v for k, v in ours.items() if k != "scalars" or scalars is None}
    is_burns = ours.get("convention") == "burn" and not (
        ours.keys() - {"library", "type", "convention"}
        or ours.get("type")
        or header["tree"]
        or metadata.keys() - {OURS}
    )
    if not is_burns:
        fields = {**metadata, OURS: ours} if OURS in metadata else metadata
        paths = header["tensors"]["path"]
        ties = [[paths[i], *tied_paths] for i, tied_paths in header["tensors"]["ties"]]
        words = {"metadata": fields, "tree": header["tree"], "ties": ties}
        texts[OURS] = header_text({OURS: VERSION, **words}).decode()
    tables: dict[str, Any] = {}
    if texts:
        tables["metadata"] = _sorted(texts)
    if scalars:
        tables["scalars"] = _sorted(scalars)
    return tables


def _scalars(values: object) -> dict[str, Any] | None:
    """Return numbers in Burn's form; None for anything but a map of numbers."""
    if not isinstance(values, dict):
        return None
    scalars: dict[str, Any] = {}
    for name, node in values.items():  # pyright: ignore[reportUnknownVariableType]  # any map
        value = _number(node)
        kind = _KINDS.get(type(value))  # pyright: ignore[reportUnknownArgumentType]  # any value
        if kind is None or (kind == "Int" and not -(2**63) <= value < 2**64):
            return None
        scalars[name] = {"UInt" if kind == "Int" and value >= 0 else kind: value}
    return scalars


def _number(node: object) -> Any:
    """Return ``node``, or the number in its tag."""
    tag, content = tag_of(node) if isinstance(node, dict) else (None, node)
    return scalar(tag, content) if tag in ("$int", "$float") else node


_KINDS = {bool: "Bool", int: "Int", float: "Float"}


def _sorted(table: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(table.items(), key=lambda item: item[0].encode()))


def _check_readable(tables: Mapping[str, Any], size: int) -> None:
    """Raise RecordError if the reader would refuse strings in a file of ``size``."""
    texts = tables.get("metadata", {})
    problem = "" if cost_of(texts.items()) <= allowance(size) else "long strings"
    data = texts.get(OURS, "").encode()
    if data and most_memory(data) > allowance(0):
        try:
            _our_value(data, "", size)
        except RecordFormatError as error:
            problem = error.found
    if problem:
        raise RecordError(
            f"more metadata or plain data than a reader accepts ({problem}). Write "
            ".mpk, or store long lists of numbers as tensors or arrays"
        )


def _check_limits(
    tables: Mapping[str, Any], head: bytes, contents: Contents, size: int
) -> None:
    """Raise `RecordError` for a file that is too large for Burn's reader."""
    longest = max(contents.sizes, default=0)
    for noun, count, most in (
        ("tensors", len(tables["tensors"]), _MOST_TENSORS),
        ("bytes before the tensors", len(head), MOST_HEADER),
        ("bytes in one tensor", longest, _MOST_TENSOR),
        ("bytes", len(head) + size, _MOST_FILE),
    ):
        if count > most:
            raise RecordError(
                f"{count:,} {noun}, but Burn reads files of at most {most:,}; write "
                ".mpk, or parts of the record with only= and exclude="
            )


def _our_fields(text: str, source: Source) -> dict[str, Any]:
    """Return the data under our key."""
    fields = _our_value(text.encode(), source.name, source.size)
    if not isinstance(fields, dict) or set(fields) != _OUR_KEYS:
        raise RecordFormatError(source.name, "damaged metadata under the key 'burnish'")
    version = fields[OURS]
    if type(version) is int and version > VERSION:
        raise RecordVersionError(source.name, version, VERSION, "its key 'burnish'")
    if type(version) is not int or version != VERSION:
        raise RecordFormatError(source.name, "damaged metadata under the key 'burnish'")
    return fields


def _our_value(data: bytes, file: str, budget: int) -> Any:
    """Return the JSON in ``data``; RecordFormatError if it is damaged or too large."""
    value = quick_value(data, budget)
    if value is None:
        reader = JsonReader.of(data, file, budget)
        value = reader.value()
        if reader.next():
            raise reader.error("data after the end")
    return value


def _in_order(tensors: list[BurnTensor], ties: object, file: str) -> list[BurnTensor]:
    """Return ``tensors`` with the names of tied ones in the order of ``ties``."""
    if not isinstance(ties, list) or not all(map(_are_texts, ties)):
        raise RecordFormatError(file, "damaged ties under the key 'burnish'")
    ranks = {name: i for names in ties for i, name in enumerate(names)}
    return sorted(tensors, key=lambda tensor: ranks.get(tensor.name, 0))


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and set(map(type, value)) <= {str}


_OUR_KEYS = {OURS, "metadata", "tree", "ties"}


def _type_in(metadata: object) -> str:
    """Return the name of the class that the record was made from."""
    ours = metadata.get(OURS) if isinstance(metadata, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # any map
    name = ours.get("type") if isinstance(ours, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # any map
    return name if isinstance(name, str) else ""


Burnpack.register()
