"""The content of a file before its payloads: metadata, tree, and the table of entries.

It is plain data, the same for MessagePack and JSON. The table consists of columns of
the same length; properties of few entries (ties, memory formats) are pairs of number
and value.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch

from ...config.plain.node import Node
from ...config.tree import MAX_DEPTH
from ..entries.encoder import Encoder
from ..entries.entries import Entries
from ..entries.entry import Entry
from ..entries.nodes import LEAVES, decode, entry_numbers, tag_of
from ..entries.wrapped_tensors import make_wrapper
from ..errors import RecordError, RecordFormatError
from ..tensors.arrays import WITHOUT_ARRAYS
from ..tensors.dtypes import BY_NAME, NAME_OF
from .columns import (
    COLUMNS,
    SHARED,
    Column,
    Table,
    check_columns,
    check_memory_formats,
    check_names,
    checked_column,
)
from .metadata import check_metadata
from .stored_entries import StoredEntries

Plain = dict[str, Any]

_KEYS = {"kind", "type", "metadata", "tree", "tensors"}
_DENSE = {"path", "kind", "id", "dtype", "shape", "requires_grad"}


class Reader(Protocol):
    """Reads plain data step by step, and counts the memory that its values take."""

    @property
    def spent(self) -> int:
        """The memory taken by what was read."""
        ...

    def members(self) -> Iterator[str]:
        """Return the keys of a map; each one's value must be read before the next."""
        ...

    def value(self) -> Any:
        """Read any value."""
        ...

    def settle(self, spent: int) -> None:
        """Say that what is kept takes ``spent`` bytes in all, the rest being gone."""
        ...


def header_of(record: Entries, dtypes: Sequence[torch.dtype]) -> Plain:
    """Return the header of ``record`` stored as ``dtypes``, checked as on reading.

    Raises `RecordError` for what its own reader would refuse.
    """
    entries = record.entries()
    encoder = Encoder(is_declared=False)
    metadata = encoder.encode(record.metadata, "metadata")
    if encoder.entries:
        raise RecordError(
            f"{encoder.entries[0].path}: metadata holds plain data only; store a "
            "number as tensor.item(); a tensor, an array or bytes as a field of a "
            "record"
        )
    header: Plain = {
        "kind": "record" if record.is_typed else "module",
        "type": record.type_name,
        "metadata": metadata,
        "tree": record.tree,
        "tensors": _columns(entries, dtypes),
    }
    try:
        _check_writable_names(header["tensors"])
        check_columns(header["tensors"])
        check_metadata(record.metadata, "record")
        check_tree(record.tree, len(entries), is_typed=record.is_typed)
    except RecordFormatError as error:
        problem = f"{error.found}, which no reader accepts"
        text = f"cannot be stored: {problem}. {error.cure}".rstrip()
        raise RecordError(text) from None
    except ValueError as error:
        raise RecordError(f"plain data that cannot be stored: {error}") from error
    _check_arrays(record, dtypes)
    return header


def _check_writable_names(table: Mapping[str, Any]) -> None:
    try:
        check_names(table, "record")
    except RecordFormatError as error:
        cure = "Give it another name with rename={...}, or leave it out with exclude=."
        raise RecordFormatError("record", error.found, "", cure) from error


def _columns(entries: Sequence[Entry], dtypes: Sequence[torch.dtype]) -> Plain:
    """Return the table of entries, column by column; equal shapes share one list."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    return {
        "path": [e.path for e in entries],
        "kind": [e.kind for e in entries],
        # Strings, since an object of a class of our own takes half as much again.
        "id": [None if (id_ := e.id) is None else str(id_) for e in entries],
        "dtype": _names_of(dtypes, entries),
        "shape": [shapes.setdefault(e.shape, list(e.shape)) for e in entries],
        "requires_grad": [e.requires_grad for e in entries],
        "ties": [[i, list(e.ties)] for i, e in enumerate(entries) if e.ties],
        "memory_format": [
            [i, e.memory_format] for i, e in enumerate(entries) if e.memory_format
        ],
    }


def plain_of(reader: Reader, file: str, added: Mapping[str, Column]) -> Plain:
    """Return the header that ``reader`` is positioned at, its columns checked.

    This goes column by column, so that at most one is in memory before it is checked.
    """
    header: Plain = {}
    for key in reader.members():
        if key == "tensors":
            header[key] = _read_table(reader, file, {**COLUMNS, **added})
        else:
            header[key] = reader.value()
    return header


def record_of_header(header: Node, file: str) -> Entries:
    """Return the record described by a header; its entries have no source yet.

    Raises `RecordFormatError`.
    """
    return stored_record(header, file, added={})[0]


def stored_record(
    header: Node, file: str, *, added: Mapping[str, Column], has_paths: bool = True
) -> tuple[Entries, StoredEntries]:
    """Return the same, with entries that get their payloads without being created.

    ``added`` are the columns of one format alone. Unless ``has_paths``, entries have
    the names that another library gave them.
    """
    table = header["tensors"] = _checked_table(header, file, added)
    entries = StoredEntries(table)
    if table["ties"] or table["memory_format"]:
        _check_sparse(table, len(entries), file)
    check_names(table, file, are_paths=has_paths)
    is_typed = header["kind"] == "record"
    try:
        check_tree(header["tree"], len(entries), is_typed=is_typed)
        metadata = decode(header["metadata"], _no_leaf, make_wrapper)
    except (ValueError, RecursionError) as error:
        raise RecordFormatError(file, f"damaged plain data: {error}") from error
    check_metadata(metadata, file)
    record = Entries.of(
        entries,
        tree=header["tree"],
        metadata=metadata,
        type_name=header["type"],
        typed=is_typed,
    )
    return record, entries


def check_tree(tree: Node, n_entries: int, *, is_typed: bool) -> None:
    """Raise ValueError unless ``tree`` consists of nodes that name existing entries."""
    if is_typed:
        tag, _ = tag_of(tree)
        if tag != "$record":
            raise ValueError("the tree of a record does not begin with one")
    elif tree is not None and not isinstance(tree, dict):
        raise ValueError("a module's plain data is not a map of paths")
    stack: list[tuple[Node, int]] = []

    def push(nodes: Iterable[Node], depth: int) -> None:
        # A list of a million numbers needs no check of each item.
        stack.extend((node, depth) for node in nodes if type(node) not in _SCALARS)

    push([tree] if is_typed else (tree or {}).values(), 0)
    while stack:
        node, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(node, list):
            push(node, depth + 1)
            continue
        tag, content = tag_of(node)
        if tag in LEAVES:
            if content >= n_entries:
                raise ValueError(f"entry {content} of {n_entries}")
        elif tag is None:
            push(content.values(), depth + 1)
        elif tag == "$record":
            push(content[1].values(), depth + 1)
        elif tag == "$tuple":
            push(content, depth + 1)
        elif tag == "$dict":
            push((item for _, item in content), depth + 1)


def _checked_table(header: Node, file: str, added: Mapping[str, Column]) -> Table:
    if not isinstance(header, dict) or set(header) != _KEYS:
        raise RecordFormatError(file, "a header with the wrong keys")
    if header["kind"] not in ("module", "record") or not isinstance(
        header["type"], str
    ):
        raise RecordFormatError(file, "a header of unknown kind")
    table: Node = header["tensors"]
    schema = {**COLUMNS, **added}
    if not isinstance(table, dict) or set(table) != schema.keys():
        raise RecordFormatError(file, "a table with the wrong columns")
    if isinstance(table, Table):
        checked = table
    else:
        paths = table["path"]
        checked = Table(
            {
                name: checked_column(name, schema[name], values, paths, file)
                for name, values in table.items()
            }
        )
    if len({len(checked[name]) for name in _DENSE}) != 1:
        raise RecordFormatError(file, "columns of different lengths")
    return checked


def _read_table(reader: Reader, file: str, schema: Mapping[str, Column]) -> Table:
    table = Table()
    for name in reader.members():
        if name not in schema:
            raise RecordFormatError(file, "a table with the wrong columns")
        before = reader.spent
        values = reader.value()
        paths = table.get("path")
        table[name] = _compact(
            name, checked_column(name, schema[name], values, paths, file)
        )
        # The old form of a column is freed while the next one is read.
        del values
        if name not in ("ties", "memory_format"):
            # Only the entries of these are kept, which every file may have.
            reader.settle(before)
    return table


def _compact(name: str, values: list[Any]) -> list[Any]:
    """Return a column with one object for all equal values."""
    if name in SHARED:
        return [SHARED[name][value] for value in values]
    if name == "shape":
        shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
        return [shapes.setdefault(shape, shape) for shape in map(tuple, values)]
    return values


def _check_sparse(table: Table, n_entries: int, file: str) -> None:
    for column in ("ties", "memory_format"):
        numbers = [number for number, _ in table[column]]
        if len(set(numbers)) < len(numbers) or max(numbers, default=-1) >= n_entries:
            raise RecordFormatError(file, f"a damaged row in the column {column}")
    check_memory_formats(table, file)


def _names_of(dtypes: Sequence[torch.dtype], entries: Sequence[Entry]) -> list[str]:
    try:
        return [NAME_OF[dtype] for dtype in dtypes]
    except KeyError as error:
        entry = entries[dtypes.index(error.args[0])]
        raise RecordError(
            f"{entry.path}: values of {error.args[0]} cannot be stored; convert them "
            f"to one of {', '.join(BY_NAME)}"
        ) from None


def _no_leaf(tag: str, number: int) -> object:
    raise ValueError(f"metadata holds {tag} {number}")


_SCALARS = {type(None), bool, int, float, str}


def _check_arrays(record: Entries, dtypes: Sequence[torch.dtype]) -> None:
    """Raise `RecordError` for an array that no field could read back."""
    if not record.tree or WITHOUT_ARRAYS.isdisjoint(dtypes):
        return
    for number in entry_numbers(record.tree, frozenset({"$array"})):
        if dtypes[number] in WITHOUT_ARRAYS:
            path = record.entries()[number].path
            raise RecordError(
                f"{path}: a numpy array cannot be stored as {dtypes[number]}, "
                "which numpy does not have. Keep it as it is with "
                f"Precision(keep={path!r}), or declare a tensor."
            )
