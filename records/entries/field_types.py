"""Types of one's own as fields of records: plain data and tensors, there and back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from ...config.plain.codec import Encode, Kind
from ...config.registry import Registry

T = TypeVar("T")

UNDECLARED_TYPE = (
    "would come back as plain data, since nothing declares what it is; store it in a "
    "field of a record that declares the class"
)


@dataclass(frozen=True, slots=True)
class FieldType:
    """How values of one class become data, and data these values."""

    encode: Callable[[Any], object]
    decode: Callable[[Any], object]


_field_types: Registry[type, FieldType] = Registry()

_HELD_ANYWAY: frozenset[type] = frozenset(
    {type(None), bool, int, float, str, bytes, bytearray, memoryview}
    | {list, tuple, dict, torch.Tensor, np.ndarray}
)


def register_field_type(
    cls: type[T], *, encode: Callable[[T], object], decode: Callable[[Any], T]
) -> None:
    """Let fields of records hold a ``cls``, alone and in lists, tuples and dicts.

    ``encode`` returns what stands for a value: tensors, arrays, numbers, texts, bytes,
    None, and lists, tuples and dicts of these. ``decode`` gets the same back, with
    tensors that are the file's, and returns the value; what it raises becomes a
    `RecordMismatchError`. Files hold the data alone, so that a program without the
    class reads it as that. A subclass is a type of its own. Raises TypeError for what
    is no class, and for a class that records hold anyway.
    """
    if not isinstance(cls, type):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"register_field_type takes a class, got {cls!r:.60}")
    if cls in _HELD_ANYWAY:
        raise TypeError(f"records hold {cls.__qualname__} without being told how")
    for name, function in (("encode", encode), ("decode", decode)):
        if not callable(function):
            raise TypeError(f"{name} is a function of one value, got {function!r:.60}")
    _field_types.register(cls, value=FieldType(encode, decode))


def field_type_of(cls: Any) -> FieldType | None:
    """Return what was registered for exactly ``cls``; None for anything else."""
    return _field_types.get(cls) if isinstance(cls, type) else None


class _RegisteredKind(Kind):
    """Values of exactly the classes that users have registered."""

    __slots__ = ()

    def takes(self, cls: type) -> bool:
        return cls in _field_types


def registered(encode: Encode) -> Kind:
    """Return the kind of registered values, which ``encode`` writes."""
    return _RegisteredKind(types=(), encode=encode, is_deep=True)
