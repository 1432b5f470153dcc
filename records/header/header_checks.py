"""What a header may not say, because its reader would refuse it."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch

from ..entries.entries import Entries
from ..entries.nodes import entry_numbers
from ..errors import RecordError, RecordFormatError
from ..tensors.arrays import WITHOUT_ARRAYS
from .columns import COLUMNS, MEMORY_FORMATS, MOST_DIMENSIONS, checked_column


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


def check_arrays(record: Entries, dtypes: Sequence[torch.dtype]) -> None:
    """Raise `RecordError` for an array that no field would take back."""
    if not record.tree or WITHOUT_ARRAYS.isdisjoint(dtypes):
        return
    for number in entry_numbers(record.tree, frozenset({"$array"})):
        if dtypes[number] in WITHOUT_ARRAYS:
            path = record.entries()[number].path
            raise RecordError(
                f"{path}: an array of numpy cannot be stored as {dtypes[number]}, "
                "which numpy does not have. Leave it as it is with "
                f"Precision(keep={path!r}), or declare a tensor."
            )
