"""What the columns of a file's table must hold."""

import math
from collections.abc import Callable, Container, Mapping
from itertools import chain
from typing import Any, NamedTuple, TypeGuard

from ..entries.entry import ParamId
from ..errors import RecordFormatError
from ..tensors.dtypes import BY_NAME

MEMORY_FORMATS = {"channels_last": 4, "channels_last_3d": 5}
"""Names of memory formats, and how many dimensions a tensor in one has."""
MOST_DIMENSIONS = 64


class Table(dict[str, list[Any]]):
    """Columns, each of whose values was checked."""


class Column(NamedTuple):
    """What the values of a column must be: all of them at once, and each by itself."""

    noun: str
    are_fine: Callable[[list[Any]], bool]
    """May raise TypeError instead, for values that it cannot look at."""
    is_fine: Callable[[Any], bool]


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
        has_path = isinstance(paths, list) and i < len(paths) and is_text(paths[i])  # pyright: ignore[reportUnknownArgumentType]  # anything
        where = f"{paths[i]!r:.80}" if has_path else f"entry {i}"
        raise RecordFormatError(
            file, f"{where} has the {column.noun} {values[i]!r:.80}"
        )
    return values  # pyright: ignore[reportUnknownVariableType]  # checked above


def is_shape(shape: object) -> TypeGuard[list[int]]:
    """Return whether ``shape`` is a list of sizes that torch can count."""
    return (
        isinstance(shape, list)
        and len(shape) <= MOST_DIMENSIONS
        and all(is_size(size) for size in shape)
        # Bytes bound the others; without values, torch multiplies all the same.
        and (0 not in shape or is_size(math.prod(size or 1 for size in shape)))
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
    if not set(map(type, shapes)) <= {list}:
        return False
    sizes = list(chain.from_iterable(shapes))
    return (
        max(map(len, shapes), default=0) <= MOST_DIMENSIONS
        and are_sizes(sizes)
        # One pass in C for nearly all files, which hold no empty tensor.
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
    """Return the column of pairs: the number of an entry, and something fine."""

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
"""One text of each name, for the thousands that a file says."""


def check_columns(table: Mapping[str, Any]) -> None:
    """Raise `RecordFormatError` for what an entry says and no reader would take."""
    # Sizes of values in memory are fine; torch has no limit to their number, and
    # hardly one to those of a tensor without values.
    shapes = table["shape"]
    are_doubtful = max(map(len, shapes), default=0) > MOST_DIMENSIONS
    are_doubtful = are_doubtful or 0 in chain.from_iterable(shapes)
    doubtful = ["kind", "id", "requires_grad", "memory_format"]
    for name in [*doubtful, "shape"] if are_doubtful else doubtful:
        checked_column(name, COLUMNS[name], table[name], table["path"], "record")
    check_memory_formats(table, "record")


def check_memory_formats(table: Mapping[str, Any], file: str) -> None:
    """Raise `RecordFormatError` for a format of other dimensions than an entry's."""
    for number, name in table["memory_format"]:
        if MEMORY_FORMATS[name] != len(table["shape"][number]):
            path = table["path"][number]
            raise RecordFormatError(file, f"memory format of {path!r:.80}")
