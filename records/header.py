"""What a file says before its payloads: metadata, tree, and the table of entries.

As plain data, the same for MessagePack and JSON. The table is made of columns of one
length; what few entries have (ties, memory formats) are pairs of number and value.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeGuard

import torch

from .dtypes import BY_NAME, NAME_OF
from .entry import Entry, ParamId
from .errors import RecordError, RecordFormatError
from .flat import FlatRecord
from .names import check_names
from .tree import DEEPEST, LEAVES, Encoder, Node, decode, tag_of

Plain = dict[str, Any]

_KEYS = {"kind", "type", "metadata", "tree", "tensors"}
_DENSE = {"path", "kind", "id", "dtype", "shape", "requires_grad"}
_MEMORY_FORMATS = {"channels_last": 4, "channels_last_3d": 5}
_MOST_DIMENSIONS = 64


class Table(dict[str, list[Any]]):
    """Columns, each of whose values was checked."""


class Reader(Protocol):
    """Reads plain data step by step, and counts the memory that its values take."""

    @property
    def spent(self) -> int:
        """How much memory was taken by what was read."""
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


class Column(NamedTuple):
    """What the values of a column must be: all of them at once, and each by itself."""

    what: str
    are_fine: Callable[[list[Any]], bool]
    """May raise TypeError instead, for values that it cannot look at."""
    is_fine: Callable[[Any], bool]


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
        _check_metadata(record.metadata, "record")
        check_tree(record.tree, len(entries), is_typed=record.is_typed)
    except RecordFormatError as error:
        raise RecordError(f"cannot be stored: {error.found}. {error.cure}") from None
    except ValueError as error:
        raise RecordError(f"plain data that cannot be stored: {error}") from error
    return plain


def plain_of(reader: Reader, file: str, added: Mapping[str, Column]) -> Plain:
    """Return the header that ``reader`` stands before, its columns checked.

    Column by column, so that no more than one is in memory before it is checked.
    """
    plain: Plain = {}
    for key in reader.members():
        if key == "tensors":
            plain[key] = _read_table(reader, file, {**_COLUMNS, **added})
        else:
            plain[key] = reader.value()
    return plain


def record_of(
    plain: Node, file: str, *, added: Mapping[str, Column] = MappingProxyType({})
) -> FlatRecord:
    """Return the record that a header describes; its entries have no source yet.

    ``added`` are the columns of one format alone. Raises `RecordFormatError`.
    """
    table = _checked_table(plain, file, added)
    entries = _entries(table)
    _add_sparse(entries, table, file)
    check_names(entries, file)
    is_typed = plain["kind"] == "record"
    try:
        check_tree(plain["tree"], len(entries), is_typed=is_typed)
        metadata = decode(plain["metadata"], _no_leaf)
    except (ValueError, RecursionError) as error:
        raise RecordFormatError(file, f"damaged plain data: {error}") from error
    _check_metadata(metadata, file)
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
    stack: list[tuple[Node, int]] = []

    def push(nodes: Iterable[Node], depth: int) -> None:
        # A million numbers are no million things to do.
        stack.extend((node, depth) for node in nodes if type(node) not in _SCALARS)

    push([tree] if is_typed else (tree or {}).values(), 0)
    while stack:
        node, depth = stack.pop()
        if depth > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST} levels")
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


def _checked_table(plain: Node, file: str, added: Mapping[str, Column]) -> Table:
    if not isinstance(plain, dict) or set(plain) != _KEYS:
        raise RecordFormatError(file, "a header with other keys than it must have")
    if plain["kind"] not in ("module", "record") or not isinstance(plain["type"], str):
        raise RecordFormatError(file, "a header of unknown kind")
    table: Node = plain["tensors"]
    schema = {**_COLUMNS, **added}
    if not isinstance(table, dict) or set(table) != schema.keys():
        raise RecordFormatError(file, "a table with other columns than it must have")
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
            raise RecordFormatError(
                file, "a table with other columns than it must have"
            )
        before = reader.spent
        values = reader.value()
        paths = table.get("path")
        table[name] = checked_column(name, schema[name], values, paths, file)
        if name in _SHARED:
            table[name] = [_SHARED[name][value] for value in values]
        if name not in ("ties", "memory_format"):
            # What is kept of these is the entries, which every file may have.
            reader.settle(before)
    return table


def checked_column(
    name: str, column: Column, values: Any, paths: Any, file: str
) -> list[Any]:
    """Return ``values`` if they may stand in ``column``; the error names the path."""
    if not isinstance(values, list):
        raise RecordFormatError(file, f"the column {name} of the table is no list")
    try:
        are_fine = column.are_fine(values)
    except TypeError:
        are_fine = False
    if not are_fine:
        i = next((i for i, v in enumerate(values) if not column.is_fine(v)), 0)
        known = isinstance(paths, list) and i < len(paths)
        where = f"{paths[i]!r:.80}" if known else f"entry {i}"
        shown = f"{values[i]!r:.80}" if i < len(values) else "no value"
        raise RecordFormatError(file, f"{where} has the {column.what} {shown}")
    return values  # pyright: ignore[reportUnknownVariableType]  # checked above


def _check_metadata(metadata: object, file: str) -> None:
    """Raise `RecordFormatError` unless it is a map, and our part of it is as we wrote.

    Who reads it later then needs no checks of its own.
    """
    if not isinstance(metadata, dict):
        raise RecordFormatError(file, "metadata that is no map")
    ours: Node = metadata.get("burnish", {})  # pyright: ignore[reportUnknownMemberType]  # any map
    if not isinstance(ours, dict):
        raise RecordFormatError(
            file,
            f"the metadata 'burnish' {ours!r:.80}",
            "a map",
            "That key is the library's own; choose another one.",
        )
    for key, is_fine in _OURS.items():
        if key in ours and not is_fine(ours[key]):
            raise RecordFormatError(
                file, f"the metadata 'burnish.{key}' {ours[key]!r:.80}"
            )


def _entries(table: Table) -> list[Entry]:
    dtypes = [BY_NAME[name] for name in table["dtype"]]
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


def _add_sparse(entries: list[Entry], table: Table, file: str) -> None:
    for column in ("ties", "memory_format"):
        seen: set[int] = set()
        for number, value in table[column]:
            if number >= len(entries) or number in seen:
                raise RecordFormatError(file, f"a damaged row in the column {column}")
            seen.add(number)
            entry = entries[number]
            if column == "ties":
                entry.ties = tuple(value)
            elif _MEMORY_FORMATS[value] == len(entry.shape):
                entry.memory_format = value
            else:
                raise RecordFormatError(file, f"memory format of {entry.path!r:.80}")


def is_shape(shape: object) -> TypeGuard[list[int]]:
    """Return whether ``shape`` is a list of sizes."""
    return (
        isinstance(shape, list)
        and len(shape) <= _MOST_DIMENSIONS
        and all(is_size(size) for size in shape)
    )


def is_size(size: object) -> bool:
    """Return whether ``size`` counts something that can be: values, or bytes."""
    return type(size) is int and 0 <= size < 2**62


def is_text(value: object) -> bool:
    """Return whether ``value`` is a text."""
    return type(value) is str


def are_sizes(sizes: list[Any]) -> bool:
    """Return whether all are sizes; TypeError for some that are not."""
    return set(map(type, sizes)) <= {int} and (
        not sizes or (min(sizes) >= 0 and max(sizes) < 2**62)
    )


def _are_shapes(shapes: list[Any]) -> bool:
    return (
        set(map(type, shapes)) <= {list}
        and max(map(len, shapes), default=0) <= _MOST_DIMENSIONS
        and are_sizes(list(chain.from_iterable(shapes)))
    )


def _are_ids(ids: list[Any]) -> bool:
    some = [i for i in ids if i is not None]
    return set(map(type, some)) <= {str} and all(map(ParamId.is_valid, some))


def _is_id(value: object) -> bool:
    return value is None or (isinstance(value, str) and ParamId.is_valid(value))


def _names_of(known: Container[str], what: str) -> Column:
    """Return the column of names that must be ``known``."""
    return Column(
        what,
        lambda values: all(value in known for value in set(values)),
        lambda value: type(value) is str and value in known,
    )


def _pairs_with(what: str, is_fine: Callable[[Any], bool]) -> Column:
    """Return the column of pairs: the number of an entry, and something fine."""

    def is_pair(pair: Any) -> bool:
        return (
            isinstance(pair, list)
            and len(pair) == 2
            and is_size(pair[0])
            and is_fine(pair[1])
        )

    return Column(what, lambda pairs: all(map(is_pair, pairs)), is_pair)


def _is_ties(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and set(map(type, value)) <= {str}


_KINDS = {"parameter", "buffer", "transient", "extra", "tensor"}

_SCALARS = {type(None), bool, int, float, str}

TEXTS = Column("name", lambda v: set(map(type, v)) <= {str}, is_text)

_COLUMNS: dict[str, Column] = {
    "path": TEXTS,
    "kind": _names_of(_KINDS, "unknown kind"),
    "id": Column("ID", _are_ids, _is_id),
    "dtype": _names_of(BY_NAME, "unknown dtype"),
    "shape": Column("shape", _are_shapes, is_shape),
    "requires_grad": Column(
        "requires_grad",
        lambda v: set(map(type, v)) <= {bool},
        lambda v: type(v) is bool,
    ),
    "ties": _pairs_with("ties", _is_ties),
    "memory_format": _pairs_with(
        "memory format", lambda v: type(v) is str and v in _MEMORY_FORMATS
    ),
}
_SHARED = {
    name: {n: n for n in names}
    for name, names in (("kind", _KINDS), ("dtype", BY_NAME))
}
"""One text of each name, for the thousands that a file says."""

_OURS: dict[str, Callable[[Any], bool]] = {
    "library": is_text,
    "type": is_text,
    "precision": is_text,
    "version": is_size,
    "versions": lambda v: isinstance(v, dict) and all(map(is_size, v.values())),
    "hparams": lambda v: isinstance(v, dict),
}
"""What we write under the key "burnish", if we write it."""


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
