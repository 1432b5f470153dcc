"""What modules keep beside parameters and buffers, as values made of plain data."""

from functools import partial
from typing import Any

from .entries import Entries, data_leaf
from .nested_data import ExtraStateDecoding
from .wrapped_tensors import make_wrapper


def extra_state(record: Entries) -> dict[str, Any]:
    """Return a module's extra state by path, decoded; empty for other records."""
    if record.is_typed or not record.tree:
        return {}
    leaf = partial(data_leaf, record)
    file = record.reading.file
    decoding = ExtraStateDecoding(leaf, partial(make_wrapper, file=file), file)
    return {path: decoding.decode(node) for path, node in record.tree.items()}
