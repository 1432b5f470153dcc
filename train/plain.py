"""Plain data of any shape as a record, and back the same: what state dicts are made of.

Records hold dicts with str keys, lists, tuples, tensors, arrays, numbers, text and
bytes. What else plain data may be is wrapped in a dict of one key, ``"$" + kind``:
dicts with other keys, counters, sets, dtypes, devices, sizes and paths, and what
stands in the groups of an optimizer.
"""

import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from ..config.path import join
from ..config.plain.codec import TAGGED_DEPTH, Decoding, Encoding, Kind, Language, Node
from ..config.plain.kinds import (
    FACTORIES,
    defaultdict_of,
    making,
    tagged,
    text,
    unmarked,
)
from ..records.entries.encoder import Storable
from ..records.errors import RecordFormatError
from ..records.flat_record import FlatRecord
from ..records.record import Record
from ..records.tensors.dtypes import dtype_named, name_of_dtype
from .group_objects import GROUP_OBJECTS


class PlainData(Record):
    """One value of plain data."""

    value: Any


def record_of(value: Any, path: str = "value") -> PlainData:
    """Return ``value`` as a record that shares its tensors.

    TypeError names the path of what is no plain data, such as an object with methods.
    """
    return PlainData(_CheckpointEncoding().encode(value, path))


def value_of(record: FlatRecord) -> Any:
    """Return the value that `record_of` was given; tensors are read and verified.

    Raises `RecordError` for a file that holds something else.
    """
    node = record.typed(PlainData).value
    try:
        return _CheckpointDecoding().decode(node)
    except (ValueError, TypeError, LookupError, RuntimeError) as error:
        problem = f"plain data that cannot be read ({error!s:.200})"
        raise RecordFormatError(record.reading.file, problem) from error


class _CheckpointEncoding(Encoding):
    """Writes what records hold: a record adds the tags of tensors and numbers."""

    def __init__(self) -> None:
        # A tagged value takes two levels of the record around it.
        super().__init__(_LANGUAGE, TAGGED_DEPTH // 2 - 2)


class _CheckpointDecoding(Decoding):
    def __init__(self) -> None:
        super().__init__(_LANGUAGE.decoders)

    def leaf(self, node: Node, path: str, depth: int) -> Any:
        """Return what a record gives as it is: tensors, arrays, bytes and tuples."""
        return tuple(self.items(node, path, depth)) if type(node) is tuple else node


def _enum(encoding: Encoding, value: Any, path: str, depth: int) -> Node:
    if isinstance(value, int | float | str | bytes):
        raise _no_data(value, path, "store its .value")
    return _encode_config(encoding, value, path, depth)


def _sequence(encoding: Encoding, value: Any, path: str, depth: int) -> Node:
    if hasattr(value, "_fields"):
        raise _no_data(value, path, "store it as a plain tuple or dict")
    items = encoding.items(value, path, depth)
    return items if isinstance(value, list) else tuple(items)


def _defaultdict(encoding: Encoding, value: Any, path: str, depth: int) -> Node:
    name = FACTORIES.get(value.default_factory)
    if name is None:
        return _mapping(encoding, value, path, depth)
    return {"$defaultdict": [name, encoding.encode(dict(value), path, depth + 1)]}


def _mapping(
    encoding: Encoding, value: Mapping[Any, Any], path: str, depth: int
) -> Node:
    if all(isinstance(k, str) and not k.startswith("$") for k in value):
        return {str(k): v for k, v in encoding.fields(value, path, depth).items()}
    pairs = [
        [
            encoding.encode(key, path, depth + 1),
            encoding.encode(item, join(path, key), depth + 1),
        ]
        for key, item in value.items()
    ]
    return {"$dict": pairs}


def _encode_config(encoding: Encoding, value: Any, path: str, depth: int) -> Node:
    if type(value).__module__.partition(".")[0] == "omegaconf":
        from omegaconf import OmegaConf

        return encoding.encode(OmegaConf.to_container(value), path, depth)
    raise _no_data(value, path, "give its class state_dict and load_state_dict")


def _no_data(value: object, path: str, cure: str) -> TypeError:
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    return TypeError(
        f"{path}: a {name} is no plain data, and checkpoints hold no pickles; {cure}, "
        "or leave it out"
    )


_LANGUAGE = Language(
    [
        # Schedules are records too, and would come back as records without methods.
        *GROUP_OBJECTS,
        Kind(types=enum.Enum, encode=_enum),
        unmarked((bool, int, float, str, bytes, np.generic, np.ndarray, Storable)),
        unmarked(torch.Tensor, torch.Tensor.detach),
        tagged("$size", torch.Size, list, torch.Size),
        text("$dtype", torch.dtype, dtype_named, name_of_dtype),
        text("$device", torch.device, torch.device),
        text("$path", PurePath, PurePath),
        Kind(types=(list, tuple), encode=_sequence, is_deep=True),
        tagged("$Counter", Counter, dict, Counter),
        tagged("$OrderedDict", OrderedDict, dict, OrderedDict),
        Kind(
            types=defaultdict,
            encode=_defaultdict,
            tag="$defaultdict",
            decode=making(defaultdict_of),
            is_deep=True,
        ),
        Kind(
            types=(dict, Mapping),
            encode=_mapping,
            tag="$dict",
            decode=making(dict),
            is_deep=True,
        ),
        tagged("$set", set, list, set),
        tagged("$frozenset", frozenset, list, frozenset),
        tagged("$deque", deque, list, deque),
        Kind(types=object, encode=_encode_config),
    ],
    as_they_are=(type(None), bool, int, float, str, bytes),
)
