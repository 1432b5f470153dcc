"""Checks of the columns of a file's table, and of the names in it."""

import math
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from ..entries.entry import ParamId
from ..errors import RecordFormatError
from ..tensors.dtypes import BY_NAME

MEMORY_FORMATS = {"channels_last": 4, "channels_last_3d": 5}
"""Names of memory formats, with the number of dimensions of their tensors."""
MOST_DIMENSIONS = 64
_MOST_PATH_BYTES = 4096
_MANY = 10_000
"""Number of names for which a set would take too much memory."""


class Table(dict[str, Any]):
    """Columns, each of whose values was checked."""


class Column(NamedTuple):
    """The conditions on a column's values: on all of them at once, and on each."""

    noun: str
    are_fine: Callable[[list[Any]], bool]
    """May raise TypeError instead, for values that it cannot handle."""
    is_fine: Callable[[Any], bool]
    compact: Callable[[list[Any]], Any] | None = None
    """Converts checked values to a form that takes less memory."""


def checked_column(
    name: str, column: Column, values: Any, paths: Any, file: str
) -> Any:
    """Return ``values`` if they are valid in ``column``; the error names the path.

    The result is that of ``column.compact``.
    """
    if not isinstance(values, list):
        raise RecordFormatError(file, f"the column {name} of the table is not a list")
    try:
        are_fine = column.are_fine(values)
    except TypeError:
        are_fine = False
    if not are_fine:
        i = next((i for i, v in enumerate(values) if not column.is_fine(v)), 0)
        has_path = isinstance(paths, list) and i < len(paths) and is_text(paths[i])  # pyright: ignore[reportUnknownArgumentType]  # anything
        where = f"{paths[i]!r:.80}" if has_path else f"entry {i}"
        raise RecordFormatError(
            file, f"{where} has the {column.noun} {values[i]!r:.80}"
        )
    return values if column.compact is None else column.compact(values)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # checked above


def is_shape(shape: object) -> TypeGuard[list[int]]:
    """Return whether ``shape`` is a list of sizes that torch can count."""
    return (
        isinstance(shape, list)
        and len(shape) <= MOST_DIMENSIONS
        and all(is_size(size) for size in shape)
        # The number of bytes bounds the others; without values, torch multiplies all
        # the same.
        and (0 not in shape or is_size(math.prod(size or 1 for size in shape)))
    )


def is_size(size: object) -> bool:
    """Return whether ``size`` is a possible number of values, or bytes."""
    return type(size) is int and 0 <= size < 2**62


def is_text(value: object) -> bool:
    """Return whether ``value`` is a string."""
    return type(value) is str


def are_sizes(sizes: list[Any]) -> bool:
    """Return whether all are sizes; TypeError for some that are not."""
    return set(map(type, sizes)) <= {int} and (
        not sizes or (min(sizes) >= 0 and max(sizes) < 2**62)
    )


def _are_shapes(shapes: list[Any]) -> bool:
    if not set(map(type, shapes)) <= {list}:
        return False
    sizes = list(chain.from_iterable(shapes))
    return (
        max(map(len, shapes), default=0) <= MOST_DIMENSIONS
        and are_sizes(sizes)
        # A single pass in C for nearly all files, which hold no empty tensor.
        and (0 not in sizes or all(map(is_shape, shapes)))
    )


def _are_ids(ids: list[Any]) -> bool:
    present_ids = [i for i in ids if i is not None]
    return set(map(type, present_ids)) <= {str, ParamId} and ParamId.are_valid(
        present_ids
    )


def _is_id(value: object) -> bool:
    return value is None or (isinstance(value, str) and ParamId.is_valid(value))


def _names_of(names: Container[str], noun: str) -> Column:
    """Return the column of names that must be ``names``."""
    return Column(
        noun,
        lambda values: all(value in names for value in set(values)),
        lambda value: type(value) is str and value in names,
    )


def _pairs_with(noun: str, is_fine: Callable[[Any], bool]) -> Column:
    """Return the column of pairs: the number of an entry, and a valid value."""

    def is_pair(pair: object) -> bool:
        return (
            isinstance(pair, list)
            and len(pair) == 2
            and is_size(pair[0])
            and is_fine(pair[1])
        )

    return Column(noun, lambda pairs: all(map(is_pair, pairs)), is_pair)


def _is_ties(value: object) -> bool:
    return isinstance(value, list) and bool(value) and set(map(type, value)) <= {str}


_KINDS = {"parameter", "buffer", "transient", "extra", "tensor"}

TEXTS = Column("name", lambda v: set(map(type, v)) <= {str}, is_text)

COLUMNS: dict[str, Column] = {
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
        "memory format", lambda v: type(v) is str and v in MEMORY_FORMATS
    ),
}
SHARED = {
    name: {n: n for n in names}
    for name, names in (("kind", _KINDS), ("dtype", BY_NAME))
}
"""One string for each name, which a file has thousands of times."""


def check_columns(table: Mapping[str, Any]) -> None:
    """Raise `RecordFormatError` for properties of an entry that no reader accepts."""
    # Sizes of values in memory are valid; torch has no limit to their number, and
    # hardly one to those of a tensor without values.
    shapes = table["shape"]
    are_doubtful = max(map(len, shapes), default=0) > MOST_DIMENSIONS
    are_doubtful = are_doubtful or 0 in chain.from_iterable(shapes)
    doubtful = ["kind", "id", "requires_grad", "memory_format"]
    for name in [*doubtful, "shape"] if are_doubtful else doubtful:
        checked_column(name, COLUMNS[name], table[name], table["path"], "record")
    if table["memory_format"]:
        check_memory_formats(table, "record")


def check_memory_formats(table: Mapping[str, Any], file: str) -> None:
    """Raise `RecordFormatError` for a format with other dimensions than an entry."""
    for number, name in table["memory_format"]:
        if MEMORY_FORMATS[name] != len(table["shape"][number]):
            path, shape = table["path"][number], table["shape"][number]
            raise RecordFormatError(
                file, f"memory format {name} of {path!r:.80}, of shape {shape!r:.80}"
            )


def check_names(table: Mapping[str, Any], file: str, *, are_paths: bool = True) -> None:
    """Raise `RecordFormatError` unless names and IDs are valid and distinct.

    ``table`` has columns of them, and rows of ties for entries that have some. Unless
    ``are_paths``, names are those of another library, which may have any characters.
    """
    paths, ids, ties = table["path"], table["id"], table["ties"]
    if ties or not _are_fine(paths, [i for i in ids if i is not None]):
        _check_each_name(paths, ids, ties, file, are_paths=are_paths)


def _are_fine(paths: list[str], ids: list[str]) -> bool:
    """Return whether all names are valid and distinct; False is not certain."""
    try:
        joined = "\n".join(paths)
    except TypeError:
        return False
    return (
        "" not in paths
        and "\0" not in joined
        and ".." not in joined
        and (not paths or max(map(len, paths)) <= _MOST_PATH_BYTES // 4)
        and _are_different(paths)
        and _are_different(ids)
    )


def _are_different(texts: list[str]) -> bool:
    """Return whether no string occurs twice, as far as their hashes show."""
    if len(texts) < _MANY:
        return len(set(texts)) == len(texts)
    # A set of 200,000 takes 8 MiB.
    hashes = np.fromiter(map(hash, texts), np.int64, len(texts))
    hashes.sort()
    return not (hashes[1:] == hashes[:-1]).any()


def _check_each_name(
    own_paths: Iterable[str],
    own_ids: Iterable[str | None],
    ties: Iterable[tuple[int, Sequence[str]]],
    file: str,
    *,
    are_paths: bool,
) -> None:
    paths: set[str] = set()
    ids: set[str] = set()
    ties_of = dict(ties)
    for i, (own_path, own_id) in enumerate(zip(own_paths, own_ids, strict=True)):
        for path in (own_path, *ties_of.get(i, ())):
            if type(path) is not str or (are_paths and not _is_path(path)):
                raise RecordFormatError(file, f"an entry called {path!r:.80}")
            if (
                len(path) > _MOST_PATH_BYTES // 4
                and len(path.encode()) > _MOST_PATH_BYTES
            ):
                raise RecordFormatError(
                    file, f"a path of over {_MOST_PATH_BYTES} bytes: {path[:40]!r}..."
                )
            if path in paths:
                raise RecordFormatError(file, f"two entries called {path!r:.80}")
            paths.add(path)
        if own_id is not None:
            if own_id in ids:
                raise RecordFormatError(
                    file, f"two entries with the ID {own_id} ({own_path!r:.80})"
                )
            ids.add(own_id)


def _is_path(name: str) -> bool:
    """Return whether a name is a path of our own formats: non-empty between dots."""
    return bool(name) and "\0" not in name and not _has_gap(name)


def _has_gap(path: str) -> bool:
    """Return whether a part of the path is empty; an escaped dot belongs to a part."""
    return ".." in path and ".." in re.sub(r"\\.", "x", path)
