"""Hyperparameters as plain data, and converted back."""

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum, Flag
from functools import reduce
from itertools import zip_longest
from numbers import Integral, Real
from operator import or_
from typing import Any

import numpy as np
import torch
from torch import Tensor

NAMED = torch.dtype | torch.layout | torch.memory_format
"""Attributes of torch by the name in their repr."""


def as_stored(value: object) -> Any:
    """Return a value as plain data, at any depth; unchanged if that is impossible.

    A member of an Enum becomes its name, a number or string of any class that of Python
    (a number of numpy, a `ScheduledFloat`, a fraction), a dtype or device its string,
    an array or a set a list, and a dict with keys other than strings a list of pairs.
    """
    if isinstance(value, Enum):
        return value.name or ""  # an empty flag has no name
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str | Real | Decimal):
        return _builtin(value)
    if isinstance(value, np.ndarray):
        return as_stored(value.tolist())
    if isinstance(value, torch.device | NAMED):
        return str(value)
    if isinstance(value, list | tuple):
        items = map(as_stored, value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # items are any value
        return list(items) if isinstance(value, list) else tuple(items)
    if isinstance(value, set | frozenset):
        return sorted(map(as_stored, value), key=repr)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # items are any value
    if isinstance(value, dict):
        pairs: list[Any] = [[as_stored(k), as_stored(v)] for k, v in value.items()]  # pyright: ignore[reportUnknownVariableType]  # items are any value
        return dict(pairs) if all(isinstance(k, str) for k in value) else pairs  # pyright: ignore[reportUnknownVariableType]  # items are any value
    return value


def _builtin(value: Any) -> bool | int | float | str:
    """Return a number or string as an object of Python's own classes."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    return int(value) if isinstance(value, Integral) else float(value)


def is_storable_value(value: object) -> bool:
    """Return whether ``torch.load(weights_only=True)`` and records can read it."""
    if isinstance(value, list | tuple):
        return all(map(is_storable_value, value))  # pyright: ignore[reportUnknownArgumentType]  # items are any value
    if isinstance(value, dict):
        return all(map(is_storable_value, value.values()))  # pyright: ignore[reportUnknownArgumentType]  # items are any value
    return value is None or type(value) in (bool, int, float, str)


def as_held(current: object, data: object) -> Any:
    """Return a stored hyperparameter as the type of the present value."""
    if isinstance(current, Enum | torch.device | NAMED) and isinstance(data, str):
        return of_text(type(current), data)
    if isinstance(current, np.generic) and isinstance(data, bool | int | float | str):
        # A rate that was set since then may not fit numpy's narrower numbers.
        number: Any = type(current)(data)  # pyright: ignore[reportCallIssue, reportArgumentType, reportUnknownVariableType]  # each of them takes one
        return number if number.item() == data else data
    if isinstance(current, Mapping):
        return _as_dict(current, data)  # pyright: ignore[reportUnknownArgumentType]  # items are any value
    if isinstance(data, list | tuple):
        return _as_sequence(current, data)  # pyright: ignore[reportUnknownArgumentType]  # items are any value
    return data


def of_text(kind: type, text: str) -> Any:
    """Return the enum's member, or the device or dtype, that ``text`` names."""
    if issubclass(kind, Enum):
        return _member(kind, text)
    if issubclass(kind, torch.device):
        return torch.device(text)
    value_of_torch = getattr(torch, text.removeprefix("torch."), None)
    return value_of_torch if isinstance(value_of_torch, kind) else text


def _as_sequence(current: Any, data: Any) -> Any:
    if isinstance(current, np.ndarray):
        return np.array(data, dtype=current.dtype)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]  # of any dtype
    if isinstance(current, Tensor):
        return torch.tensor(data, dtype=current.dtype, device=current.device)
    if isinstance(current, set | frozenset):
        by_data = {as_stored(item): item for item in current}  # pyright: ignore[reportUnknownVariableType]  # items are any value
        return type(current)(by_data.get(item, item) for item in data)  # pyright: ignore[reportUnknownVariableType]  # items are any value
    if not isinstance(current, list | tuple):
        return data
    pairs = zip_longest(current[: len(data)], data)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # items are any value
    rebuild = getattr(type(current), "_make", type(current))  # pyright: ignore[reportUnknownArgumentType]  # a named tuple takes no list
    return rebuild([as_held(item_now, item) for item_now, item in pairs])


def _as_dict(current: Mapping[Any, Any], data: Any) -> Any:
    """Return stored items, or pairs, under the present keys."""
    is_dict = isinstance(data, Mapping)
    if not is_dict and not isinstance(data, list | tuple):
        return data
    pairs: Any = data.items() if is_dict else data  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # items are any value
    by_data = {as_stored(key): key for key in current}
    keys = [(by_data.get(key, key), value) for key, value in pairs]
    return {key: as_held(current.get(key), value) for key, value in keys}


def _member(cls: type[Enum], name: str) -> Enum:
    """Return a member by its name; several flags have a joint name."""
    if issubclass(cls, Flag):
        names = name.split("|") if name else []
        return reduce(or_, (cls[part] for part in names), cls(0))
    return cls[name]
