"""Values inside of a state as plain data, and back to their declared types."""

import typing
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...config.classes.annotations import known_hints
from ...config.classes.declared_types import item_type, members
from ...config.classes.fields import class_of
from ...config.classes.keyed_types import item_types
from ...records.record import Record
from .plain_values import NAMED, as_held, as_stored, of_text


def as_dicts(value: object) -> Any:
    """Return a value with its records as dicts of their fields.

    Values that records of plain data cannot hold are converted by `as_stored`: only the
    type of the state shows what they are, and an optimizer's record has many types.
    """
    if isinstance(value, Record):
        return {name: as_dicts(field) for name, field in value.fields().items()}
    if isinstance(value, list | tuple):
        items = map(as_dicts, value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # items are any value
        return list(items) if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        pairs = [[as_stored(key), as_dicts(item)] for key, item in value.items()]  # pyright: ignore[reportUnknownVariableType]  # items are any value
        return dict(pairs) if all(isinstance(key, str) for key in value) else pairs  # pyright: ignore[reportUnknownVariableType]  # items are any value
    return value if isinstance(value, np.ndarray) else as_stored(value)


def as_declared(hint: object, usual: object, value: object) -> Any:
    """Return a stored value as the type of the ``usual`` one, or as ``hint`` allows.

    Raises TypeError if the fields of a record differ.
    """
    kind, hint = _kind(hint, usual, value)
    if isinstance(value, str):
        return as_held(usual, value) if kind is None else of_text(kind, value)
    if kind is None or issubclass(kind, np.ndarray | Tensor):
        return as_held(usual, value)
    if issubclass(kind, Record):
        return _record(kind, usual, value)
    if issubclass(kind, Mapping):
        return _dict(hint, usual, value)
    if issubclass(kind, set | frozenset):
        items: Any = as_held(usual, value) if isinstance(usual, kind) else value
        return kind(as_declared(item_type(hint, 0), None, item) for item in items)
    return _sequence(kind, hint, usual, value)


@lru_cache(maxsize=4096)
def hints_of(cls: Any) -> Mapping[str, Any]:
    """Return the declared types of a class's fields, Any for unknown names."""
    return known_hints(cls)


def _kind(hint: object, usual: object, value: object) -> tuple[Any, object]:
    """Return the class whose plain data ``value`` is, and its hint.

    That is the class of the usual value, or the first one that the hint names.
    """
    fitting = _kinds_of_data(value)
    hinted = [(m, class_of(m)) for m in members(hint)]
    hinted = [(m, cls) for m, cls in hinted if _is_one_of(cls, fitting)]
    if not isinstance(usual, fitting):
        return (hinted[0][1], hinted[0][0]) if hinted else (None, Any)
    of_usual = [m for m, cls in hinted if isinstance(usual, cls)]
    return type(usual), of_usual[0] if of_usual else type(usual)


def _is_one_of(cls: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(cls, type) and issubclass(cls, kinds)


def _kinds_of_data(value: object) -> tuple[type, ...]:
    """Return the classes whose values become plain data such as ``value``."""
    if isinstance(value, str):
        return Enum, torch.device, *typing.get_args(NAMED)
    if isinstance(value, dict):
        return Record, Mapping
    if isinstance(value, list | tuple):
        return list, tuple, set, frozenset, Mapping, np.ndarray, Tensor
    return ()


def _record(cls: type[Record], usual: object, fields: Any) -> Record:
    hints = hints_of(cls)
    return cls(
        **{
            name: as_declared(hints.get(name, Any), getattr(usual, name, None), value)
            for name, value in fields.items()
        }
    )


def _dict(hint: Any, usual: Any, data: Any) -> dict[Any, Any]:
    """Return stored items, or pairs, by their original keys."""
    key_hint = (*typing.get_args(hint), Any)[0]
    has = usual if isinstance(usual, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]  # items are any value
    by_data = {as_stored(key): key for key in has}  # pyright: ignore[reportUnknownVariableType]  # items are any value
    pairs: Iterable[Any] = data.items() if isinstance(data, dict) else data  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]  # items are any value
    keys = [
        (by_data[key] if key in by_data else as_declared(key_hint, None, key), item)
        for key, item in ((_hashable(key), item) for key, item in pairs)
    ]
    return {k: as_declared(item_type(hint, k), has.get(k), item) for k, item in keys}  # pyright: ignore[reportUnknownMemberType]  # items are any value


def _hashable(key: Any) -> Any:
    """Return a key that was a tuple, and may have been written as a list."""
    return tuple(map(_hashable, key)) if isinstance(key, list) else key  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # items are any value


def _sequence(kind: Any, hint: object, usual: Any, data: Any) -> Any:
    """Return stored items as the original list or tuple."""
    has: list[Any] = [*usual] if isinstance(usual, list | tuple) else []  # pyright: ignore[reportUnknownArgumentType]  # items are any value
    declared = hint if item_types(kind) is None else kind
    # A list that has grown has more items of the kind it started with.
    usuals = [*has, *[has[0] if has else None] * (len(data) - len(has))]
    items = [
        as_declared(item_type(declared, i), usuals[i], item)
        for i, item in enumerate(data)
    ]
    # A named tuple takes its items as separate arguments.
    return getattr(kind, "_make", type(data))(items)
