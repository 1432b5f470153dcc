"""Hyperparameters as plain data, and the values that they were before."""

from collections.abc import Mapping
from enum import Enum, Flag
from functools import reduce
from itertools import zip_longest
from operator import or_
from typing import Any

import numpy as np
import torch
from torch import Tensor

_NAMED = torch.dtype | torch.layout | torch.memory_format
"""What torch has under the name that it shows."""


def as_stored(value: Any) -> Any:
    """Return a value as plain data, at any depth; unchanged where that cannot be.

    A member of an Enum becomes its name, a number or text of numpy that of Python, a
    dtype or device its text, an array or a set a list, and a dict whose keys are no
    texts a list of pairs.
    """
    if isinstance(value, Enum):
        return value.name or ""  # no flag at all has no name
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return as_stored(value.tolist())
    if isinstance(value, torch.device | _NAMED):
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


def is_plain(value: Any) -> bool:
    """Return whether ``torch.load(weights_only=True)`` and records read it back."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))  # pyright: ignore[reportUnknownArgumentType]  # items are any value
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))  # pyright: ignore[reportUnknownArgumentType]  # items are any value
    return value is None or type(value) in (bool, int, float, str)


def as_held(held: Any, stored: Any) -> Any:
    """Return a stored hyperparameter as the kind of value that stands there now."""
    if isinstance(held, Enum) and isinstance(stored, str):
        return _member(type(held), stored)
    if isinstance(held, np.generic) and isinstance(stored, bool | int | float | str):
        # A rate that was set since then may be none of numpy's narrower numbers.
        number: Any = type(held)(stored)  # pyright: ignore[reportCallIssue, reportArgumentType, reportUnknownVariableType]  # each of them takes one
        return number if number.item() == stored else stored
    if isinstance(held, torch.device) and isinstance(stored, str):
        return torch.device(stored)
    if isinstance(held, _NAMED) and isinstance(stored, str):
        found = getattr(torch, stored.removeprefix("torch."), None)
        return found if isinstance(found, type(held)) else stored
    if isinstance(held, Mapping):
        return _as_dict(held, stored)  # pyright: ignore[reportUnknownArgumentType]  # items are any value
    if isinstance(stored, list | tuple):
        return _as_sequence(held, stored)  # pyright: ignore[reportUnknownArgumentType]  # items are any value
    return stored


def _as_sequence(held: Any, stored: Any) -> Any:
    if isinstance(held, np.ndarray):
        return np.array(stored, dtype=held.dtype)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]  # of any dtype
    if isinstance(held, Tensor):
        return torch.tensor(stored, dtype=held.dtype, device=held.device)
    if isinstance(held, set | frozenset):
        known = {as_stored(item): item for item in held}  # pyright: ignore[reportUnknownVariableType]  # items are any value
        return type(held)(known.get(item, item) for item in stored)  # pyright: ignore[reportUnknownVariableType]  # items are any value
    if not isinstance(held, list | tuple):
        return stored
    pairs = zip_longest(held[: len(stored)], stored)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # items are any value
    rebuild = getattr(type(held), "_make", type(held))  # pyright: ignore[reportUnknownArgumentType]  # a named tuple takes no list
    return rebuild([as_held(own, item) for own, item in pairs])


def _as_dict(held: Mapping[Any, Any], stored: Any) -> Any:
    """Return stored items, or pairs, under the keys that stand there now."""
    is_dict = isinstance(stored, Mapping)
    if not is_dict and not isinstance(stored, list | tuple):
        return stored
    pairs: Any = stored.items() if is_dict else stored  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # items are any value
    known = {as_stored(key): key for key in held}
    keys = [(known.get(key, key), value) for key, value in pairs]
    return {key: as_held(held.get(key), value) for key, value in keys}


def _member(cls: type[Enum], name: str) -> Enum:
    """Return a member by its name; several flags have one of theirs together."""
    if issubclass(cls, Flag):
        names = name.split("|") if name else []
        return reduce(or_, (cls[part] for part in names), cls(0))
    return cls[name]
