"""What a file says before its payloads: metadata, tree, and the table of entries.

As plain data, the same for MessagePack and JSON. The table is made of columns of one
length; what few entries have (ties, memory formats) are pairs of number and value.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, TypeGuard

import torch

from .dtypes import BY_NAME, NAME_OF
from .entry import Entry, ParamId
from .errors import RecordError, RecordFormatError
from .flat import FlatRecord
from .names import check_names
from .tree import LEAVES, MAX_DEPTH, Encoder, Node, decode, tag_of

Plain = dict[str, Any]

_KEYS = {"kind", "type", "metadata", "tree", "tensors"}
_COLUMNS = {"path", "kind", "id", "dtype", "shape", "requires_grad"}
_SPARSE = {"ties", "memory_format"}
_KINDS = {"parameter", "buffer", "transient", "extra", "tensor"}
_MEMORY_FORMATS = {"channels_last": 4, "channels_last_3d": 5}
_MOST_DIMENSIONS = 64


def header_of(record: FlatRecord, dtypes: Sequence[torch.dtype]) -> Plain:
    """Return the header of ``record`` stored as ``dtypes``, checked as on reading.

    Raises `RecordError` for what its own reader would refuse.
    """
    entries = record.entries()
    encoder = Encoder()
    metadata = encoder.encode(record.metadata, "metadata")
    if encoder.entries:
        raise RecordError(
            f"{encoder.entries[0].path}: metadata holds plain data only; store a "
            "tensor, an array or bytes as a field of a record"
        )
    plain = {
        "kind": "record" if record.is_typed else "module",
        "type": record.type_name,
        "metadata": metadata,
        "tree": record.tree,
        "tensors": {
            "path": [e.path for e in entries],
            "kind": [e.kind for e in entries],
            "id": [e.id for e in entries],
            "dtype": [_name_of(d, e) for d, e in zip(dtypes, entries, strict=True)],
            "shape": [list(e.shape) for e in entries],
            "requires_grad": [e.requires_grad for e in entries],
            "ties": [[i, list(e.ties)] for i, e in enumerate(entries) if e.ties],
            "memory_format": [
                [i, e.memory_format] for i, e in enumerate(entries) if e.memory_format
            ],
        },
    }
    try:
        check_names(entries, "record")
    except RecordFormatError as error:
        raise RecordError(f"cannot be stored: {error.found}. {error.cure}") from None
    return plain


def record_of(plain: Node, file: str, *, columns: Sequence[str] = ()) -> FlatRecord:
    """Return the record that a header describes; its entries have no source yet.

    ``columns`` names those that a format adds. Raises `RecordFormatError`.
    """
    table = _checked_shape(plain, file, set(columns))
    entries = _entries(table, file)
    _add_sparse(entries, table, file)
    check_names(entries, file)
    is_typed = plain["kind"] == "record"
    try:
        check_tree(plain["tree"], len(entries), is_typed=is_typed)
        metadata = decode(plain["metadata"], _no_leaf)
    except (ValueError, RecursionError) as error:
        raise RecordFormatError(file, f"damaged plain data: {error}") from error
    if not isinstance(metadata, dict):
        raise RecordFormatError(file, "metadata that is no map")
    return FlatRecord.of(
        entries,
        tree=plain["tree"],
        metadata=metadata,
        type_name=plain["type"],
        typed=is_typed,
    )


def check_tree(tree: Node, n_entries: int, *, is_typed: bool) -> None:
    """Raise ValueError unless ``tree`` consists of nodes that name existing entries."""
    if is_typed:
        tag, _ = tag_of(tree)
        if tag != "$record":
            raise ValueError("the tree of a record does not begin with one")
    elif tree is not None and not isinstance(tree, dict):
        raise ValueError("a module's plain data is no map of paths")
    stack: list[tuple[Node, int]] = [(tree, 0)]
    if not is_typed:
        stack = [(node, 0) for node in (tree or {}).values()]
    while stack:
        node, depth = stack.pop()
        if node is None or isinstance(node, bool | int | float | str):
            continue
        # Each value may be a tagged map around its content: two levels of data.
        if depth > 2 * MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(node, list):
            stack += [(item, depth + 1) for item in node]
            continue
        tag, content = tag_of(node)
        if tag in LEAVES:
            if content >= n_entries:
                raise ValueError(f"entry {content} of {n_entries}")
        elif tag is None:
            stack += [(item, depth + 1) for item in content.values()]
        elif tag == "$record":
            stack += [(item, depth + 1) for item in content[1].values()]
        elif tag == "$tuple":
            stack += [(item, depth + 1) for item in content]
        elif tag == "$dict":
            stack += [(item, depth + 1) for _, item in content]


def _checked_shape(plain: Node, file: str, added: set[str]) -> Plain:
    if not isinstance(plain, dict) or set(plain) != _KEYS:
        raise RecordFormatError(file, "a header with other keys than it must have")
    if plain["kind"] not in ("module", "record") or not isinstance(plain["type"], str):
        raise RecordFormatError(file, "a header of unknown kind")
    table: Node = plain["tensors"]
    if not isinstance(table, dict) or set(table) != _COLUMNS | _SPARSE | added:
        raise RecordFormatError(file, "a table with other columns than it must have")
    columns: Plain = table
    if not all(isinstance(column, list) for column in columns.values()):
        raise RecordFormatError(file, "a column of the table that is no list")
    if len({len(columns[name]) for name in _COLUMNS}) != 1:
        raise RecordFormatError(file, "columns of different lengths")
    return columns


def _entries(table: Plain, file: str) -> list[Entry]:
    try:
        _check_columns(table)
        dtypes = [BY_NAME[name] for name in table["dtype"]]
    except (KeyError, TypeError, ValueError):
        raise _damaged_row(table, file) from None
    ids = [None if i is None else ParamId(i) for i in table["id"]]
    shapes = map(tuple, table["shape"])
    return [
        Entry(path, kind, dtype, shape, NOWHERE, id_, grad)
        for path, kind, dtype, shape, id_, grad in zip(
            table["path"],
            table["kind"],
            dtypes,
            shapes,
            ids,
            table["requires_grad"],
            strict=True,
        )
    ]


def _check_columns(table: Plain) -> None:
    """Raise ValueError or TypeError for a wrong value: column by column, it is fast."""
    sizes = list(chain.from_iterable(table["shape"]))
    ids = [i for i in table["id"] if i is not None]
    if not (
        set(map(type, table["path"])) <= {str}
        and set(table["kind"]) <= _KINDS
        and set(map(type, table["requires_grad"])) <= {bool}
        and set(map(type, table["shape"])) <= {list}
        and set(map(type, sizes)) <= {int}
        and (not sizes or (min(sizes) >= 0 and max(sizes) < 2**62))
        and max(map(len, table["shape"]), default=0) <= _MOST_DIMENSIONS
        and set(map(type, ids)) <= {str}
        and all(map(ParamId.is_valid, ids))
    ):
        raise ValueError


def _damaged_row(table: Plain, file: str) -> RecordFormatError:
    """Return the error that names the first wrong row."""
    path: object = "?"
    for row in zip(*(table[name] for name in sorted(_COLUMNS)), strict=True):
        dtype, id_, kind, path, grad, shape = row
        if not isinstance(dtype, str) or dtype not in BY_NAME:
            return RecordFormatError(
                file, f"{path!r:.80} has the unknown dtype {dtype!r:.40}"
            )
        if not is_shape(shape):
            return RecordFormatError(file, f"{path!r:.80} has the shape {shape!r:.80}")
        if id_ is not None and not (isinstance(id_, str) and ParamId.is_valid(id_)):
            return RecordFormatError(file, f"{path!r:.80} has the ID {id_!r:.40}")
        known = isinstance(kind, str) and kind in _KINDS
        if type(path) is not str or not known or type(grad) is not bool:
            break
    return RecordFormatError(file, f"a damaged row of the table: {path!r:.80}")


def _add_sparse(entries: list[Entry], table: Plain, file: str) -> None:
    for column in ("ties", "memory_format"):
        seen: set[int] = set()
        for pair in table[column]:
            if not _is_pair(pair, len(entries)) or pair[0] in seen:
                raise RecordFormatError(file, f"a damaged row in the column {column}")
            seen.add(pair[0])
            entry, value = entries[pair[0]], pair[1]
            if column == "ties":
                if not isinstance(value, list) or not value:
                    raise RecordFormatError(file, f"ties of {entry.path!r:.80}")
                entry.ties = tuple(value)
            elif _MEMORY_FORMATS.get(value) == len(entry.shape):
                entry.memory_format = value
            else:
                raise RecordFormatError(file, f"memory format of {entry.path!r:.80}")


def is_shape(shape: object) -> TypeGuard[list[int]]:
    """Return whether ``shape`` is a list of sizes."""
    return (
        isinstance(shape, list)
        and len(shape) <= _MOST_DIMENSIONS
        and all(type(size) is int and 0 <= size < 2**62 for size in shape)
    )


def _is_pair(pair: Any, n_entries: int) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and type(pair[0]) is int
        and 0 <= pair[0] < n_entries
        and isinstance(pair[1], list | str)
    )


def _name_of(dtype: torch.dtype, entry: Entry) -> str:
    name = NAME_OF.get(dtype)
    if name is None:
        raise RecordError(
            f"{entry.path}: values of {dtype} cannot be stored; convert them to one "
            f"of {', '.join(BY_NAME)}"
        )
    return name


def _no_leaf(tag: str, number: int) -> object:
    raise ValueError(f"metadata holds {tag} {number}")


class _Nowhere:
    def load(self) -> torch.Tensor:
        """Raise: a format must give each entry its source."""
        raise RuntimeError("an entry was read before its format gave it a source")


NOWHERE = _Nowhere()
