"""User-defined types as fields: conversion to plain data and back.

A class converts itself (`Serializable`), or is registered with two functions. Configs,
states, arguments of modules and records all ask here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar, get_origin

from ..arguments import takes
from ..registry import Registry
from ..short_text import with_article

T = TypeVar("T")

Ctx = Mapping[str, Any]
"""The context that the caller of ``load`` passes to ``deserialize``."""


class Serializable(ABC):
    """An object that converts itself for files: in configs, states and arguments.

    ``serialize`` returns plain data: dicts, lists, numbers, strings; in a state arrays
    and tensors too. ``deserialize(cls, data, ctx)`` gets it back. ``ctx`` holds what
    the caller of ``load`` passed, and for the objects of a state "config" and "state",
    whose fields are restored when they are accessed. The signatures ``(cls, data)`` and
    ``(cls, data, config, state, ctx)`` work too. A field of a config is read before
    there is a config or a state.
    """

    @abstractmethod
    def serialize(self) -> Any:
        """Return plain data that describes this object completely."""

    @classmethod
    @abstractmethod
    def deserialize(cls, *args: Any, **kwargs: Any) -> Self:
        """Return the object described by the data, which is the first argument."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic accept instances unchanged; files are decoded before it runs.

        Therefore any model or dataclass may declare a field of this class.
        """
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(cls)


@dataclass(frozen=True, slots=True)
class FieldType:
    """How values of one class are converted to data and back."""

    encode: Callable[[Any], object]
    decode: Callable[[Any], object]


_field_types: Registry[type, FieldType] = Registry()

_HELD_ANYWAY: frozenset[type] = frozenset(
    {type(None), bool, int, float, str, bytes, bytearray, memoryview}
    | {list, tuple, dict}
)

_ARRAYS = frozenset({"torch.Tensor", "numpy.ndarray"})
"""Classes that only records hold, by name, so that no check imports them."""


def register_field_type(
    cls: type[T], *, encode: Callable[[T], object], decode: Callable[[Any], T]
) -> None:
    """Let fields hold a ``cls``, alone and in lists, tuples and dicts.

    ``encode`` returns the data of a value: numbers, strings, None, and lists, tuples
    and dicts of these; in records tensors, arrays and bytes too. ``decode`` gets the
    same data back, with tensors that belong to the file, and returns the value; JSON
    and YAML turn tuples into lists and keys into strings. An error that it raises
    becomes a ConfigError or a `RecordMismatchError` with the path of the field. Files
    hold the data alone, so that a program without the class reads plain data. A
    subclass is a type of its own. Raises TypeError for anything but a class, and for a
    class that files hold anyway.
    """
    if not isinstance(cls, type):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"register_field_type takes a class, got {cls!r:.60}")
    if cls in _HELD_ANYWAY or f"{cls.__module__}.{cls.__qualname__}" in _ARRAYS:
        raise TypeError(f"{cls.__qualname__} needs no rule: files can already store it")
    for name, function in (("encode", encode), ("decode", decode)):
        if not callable(function):
            raise TypeError(
                f"{name} must be a function of one value, got {function!r:.60}"
            )
    _field_types.register(cls, value=FieldType(encode, decode))


def registered_type_of(cls: object) -> FieldType | None:
    """Return the registration of exactly ``cls``; None for anything else."""
    return _field_types.entries.get(cls) if isinstance(cls, type) else None


def n_registered() -> int:
    """Return the number of registered classes, by which caches know they are stale."""
    return len(_field_types.entries)


def is_field_type(cls: object) -> bool:
    """Return whether files store objects of ``cls`` as data of its own making.

    Such a class has no fields as far as files are concerned, even if it is a dataclass.
    """
    if not isinstance(cls, type):
        cls = get_origin(cls)
    # issubclass is avoided because an ABC needs long to deny that a class is a
    # subclass.
    return cls in _field_types or Serializable in getattr(cls, "__mro__", ())


def encoded(value: object) -> object:
    """Return the data of ``value``, an instance of a user-defined type.

    Errors of the class are passed on.
    """
    field_type = registered_type_of(type(value))
    if field_type is not None:
        return field_type.encode(value)
    serializable: Any = value
    return serializable.serialize()


def decoded(annotation: Any, data: object, ctx: Ctx) -> object:
    """Return the object that ``data`` describes, of the class in ``annotation``.

    Errors of the class are passed on. Raises TypeError for an object of another class.
    """
    cls = annotation if isinstance(annotation, type) else get_origin(annotation)
    field_type = registered_type_of(cls)
    if field_type is None:
        return deserialized(cls, data, ctx)
    value = field_type.decode(data)
    if type(value) is not cls:
        raise TypeError(f"decode returned {with_article(type(value).__qualname__)}")
    return value


def deserialized(
    cls: type[Any],
    data: object,
    ctx: Mapping[str, Any],
    *,
    config: object = None,
    state: object = None,
) -> Any:
    """Return the result of ``cls.deserialize``. TypeError if it is of another class."""
    make: Callable[..., Any] = cls.deserialize
    around = {"config": config, "state": state}
    keywords = {name: value for name, value in around.items() if value is not None}
    if takes(make, 4):
        obj = make(data, config, state, dict(ctx))
    elif takes(make, 1) and not takes(make, 2):
        obj = make(data)
    else:
        obj = make(data, {**keywords, **ctx})
    if not isinstance(obj, cls):
        raise TypeError(
            f"{cls.__qualname__}.deserialize returned "
            f"{with_article(type(obj).__qualname__)}; it must return the "
            f"{cls.__qualname__}"
        )
    return obj
