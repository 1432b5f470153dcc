"""Plain data of any shape, such as state dicts, as a record, and back.

Values that records cannot hold directly are tagged, and so are the objects in the
groups of an optimizer (`records/entries/plain_data`, `group_objects`).
"""

from typing import Any

import numpy as np
import torch

from ..config.plain.codec import Encoding, Kind, Language
from ..config.plain.kinds import unmarked
from ..config.plain.node import Node
from ..records.entries.encoder import Storable
from ..records.entries.plain_data import (
    DICTS,
    ENUMS,
    MAX_DEPTH,
    NUMPY_NUMBERS,
    ORDERED_DICTS,
    SETS,
    SIZES_AND_NAMES,
    PlainDataEncoding,
    is_named_tuple,
    no_data,
    no_named_tuple,
    value_of_node,
)
from ..records.flat_record import FlatRecord
from ..records.record import Record
from .group_objects import GROUP_OBJECTS


class PlainData(Record):
    """One value of plain data."""

    value: object


def record_of(value: object, path: str = "value") -> PlainData:
    """Return ``value`` as a record that shares its tensors.

    TypeError names the path of a value that is not plain data, such as an object with
    methods.
    """
    return PlainData(_CheckpointEncoding().encode(value, path))


def value_of(record: FlatRecord) -> Any:
    """Return the value that `record_of` was given; tensors are read and verified.

    Raises `RecordError` for a file with other content.
    """
    return value_of_node(record.typed(PlainData).value, _LANGUAGE, record.reading.file)


class _CheckpointEncoding(PlainDataEncoding):
    """Writes what records hold: a record adds the tags of tensors and numbers."""

    def __init__(self) -> None:
        super().__init__(_LANGUAGE, MAX_DEPTH)


def _sequence(encoding: Encoding, value: Any, path: str, depth: int) -> Node:
    if is_named_tuple(value):
        raise no_named_tuple(value, path)
    items = encoding.items(value, path, depth)
    return items if isinstance(value, list) else tuple(items)


def _encode_config(encoding: Encoding, value: object, path: str, depth: int) -> Node:
    if type(value).__module__.partition(".")[0] == "omegaconf":
        from omegaconf import OmegaConf

        return encoding.encode(OmegaConf.to_container(value), path, depth)
    if not hasattr(value, "state_dict"):
        cure = "give its class state_dict and load_state_dict"
    elif not hasattr(value, "load_state_dict"):
        cure = "give its class load_state_dict too"
    else:
        # A part is asked for its state, but not the objects inside of one.
        cure = "store its state_dict(), or save it as a part, under its own name"
    raise no_data(value, path, cure)


def _without_graph(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor that keeps no others alive; a trained one remains trained."""
    return tensor if tensor.is_leaf else tensor.detach()


_LANGUAGE = Language(
    [
        # Schedules are records too, and would be read back without their methods.
        *GROUP_OBJECTS,
        ENUMS,
        NUMPY_NUMBERS,
        unmarked((bool, int, float, str, bytes, np.generic, np.ndarray, Storable)),
        unmarked(torch.Tensor, _without_graph),
        *SIZES_AND_NAMES,
        Kind(types=(list, tuple), encode=_sequence, is_deep=True),
        ORDERED_DICTS,
        *DICTS,
        *SETS,
        Kind(types=object, encode=_encode_config),
    ],
    as_they_are=(type(None), bool, int, float, str, bytes),
)
