"""Plain data of any shape as a record, and back the same: what state dicts are made of.

Records hold dicts with str keys, lists, tuples, tensors, arrays, numbers, text and
bytes. What else plain data may be is wrapped in a dict of one key, ``"$" + kind``:
dicts with other keys, counters, sets, dtypes, devices, sizes and paths.
"""

import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import torch

from ..config.path import join
from ..records.errors import RecordFormatError
from ..records.flat_record import FlatRecord
from ..records.nodes import MAX_DEPTH
from ..records.record import Record

_DEEPEST = MAX_DEPTH // 2 - 2
"""Half of what records nest: a wrapped value takes two levels."""


class PlainData(Record):
    """One value of plain data."""

    value: Any


def record_of(value: Any, what: str = "value") -> PlainData:
    """Return ``value`` as a record that shares its tensors.

    TypeError names the path of what is no plain data, such as an object with methods.
    """
    return PlainData(_packed(value, what, 0))


def value_of(record: FlatRecord) -> Any:
    """Return the value that `record_of` was given; tensors are read and verified.

    Raises `RecordError` for a file that holds something else.
    """
    stored = record.typed(PlainData).value
    try:
        return _unpacked(stored)
    except (ValueError, TypeError, LookupError, RuntimeError) as error:
        found = f"plain data that cannot be read ({error!s:.200})"
        raise RecordFormatError(record.reading.file, found) from error


def _packed(value: Any, path: str, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float | str | bytes):
        if isinstance(value, enum.Enum):
            raise _no_data(value, path, "store its .value")
        return value
    if isinstance(value, torch.Tensor):
        return value.detach()
    if depth >= _DEEPEST:
        raise TypeError(f"{path}: nested deeper than {_DEEPEST} levels")
    if isinstance(value, torch.Size):
        return {"$size": list(value)}
    if isinstance(value, torch.dtype | torch.device | PurePath):
        kind = "path" if isinstance(value, PurePath) else type(value).__name__
        return {f"${kind}": str(value).removeprefix("torch.")}
    if isinstance(value, list | tuple):
        if hasattr(value, "_fields"):
            raise _no_data(value, path, "store it as a plain tuple or dict")
        items = [
            _packed(item, join(path, i), depth + 1) for i, item in enumerate(value)
        ]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, Mapping):
        return _packed_mapping(value, path, depth)
    if isinstance(value, set | frozenset | deque):
        return {f"${type(value).__name__}": _packed([*value], path, depth + 1)}
    return _packed_other(value, path, depth)


def _packed_mapping(value: Mapping[Any, Any], path: str, depth: int) -> Any:
    if isinstance(value, Counter):
        return {"$Counter": _packed(dict(value), path, depth + 1)}
    if isinstance(value, OrderedDict):
        return {"$OrderedDict": _packed(dict(value), path, depth + 1)}
    if isinstance(value, defaultdict) and value.default_factory in _FACTORIES:
        name = _FACTORIES[value.default_factory]
        return {"$defaultdict": [name, _packed(dict(value), path, depth + 1)]}
    if all(isinstance(k, str) and not k.startswith("$") for k in value):
        return {
            str(key): _packed(item, join(path, key), depth + 1)
            for key, item in value.items()
        }
    pairs = [
        [_packed(key, path, depth + 1), _packed(item, join(path, key), depth + 1)]
        for key, item in value.items()
    ]
    return {"$dict": pairs}


def _packed_other(value: Any, path: str, depth: int) -> Any:
    import numpy as np

    if isinstance(value, np.ndarray | np.generic | Record):
        return value
    if type(value).__module__.partition(".")[0] == "omegaconf":
        from omegaconf import OmegaConf

        return _packed(OmegaConf.to_container(value), path, depth)
    raise _no_data(value, path, "give its class state_dict and load_state_dict")


def _no_data(value: Any, path: str, cure: str) -> TypeError:
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    return TypeError(
        f"{path}: a {name} is no plain data, and checkpoints hold no pickles; {cure}, "
        "or leave it out"
    )


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_unpacked(item) for item in value)
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, content),) = value.items()
        if key.startswith("$") and key[1:] in _MAKERS:
            return _MAKERS[key[1:]](_unpacked(content))
    return {key: _unpacked(item) for key, item in value.items()}


_FACTORIES: dict[Any, str] = {int: "int", float: "float", list: "list", dict: "dict"}
_NAMED = {name: factory for factory, name in _FACTORIES.items()}


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"{name!r} is no dtype of this torch")
    return found


_MAKERS: dict[str, Callable[[Any], Any]] = {
    "dict": dict,
    "Counter": Counter,
    "OrderedDict": OrderedDict,
    "defaultdict": lambda pair: defaultdict(_NAMED[pair[0]], pair[1]),
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
    "size": torch.Size,
    "dtype": _dtype,
    "device": torch.device,
    "path": PurePath,
}
