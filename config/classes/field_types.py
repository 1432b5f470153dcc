"""Types of one's own as fields: plain data, there and back.

A class says so itself (`Serializable`), or somebody says so of it. Configs, states,
arguments of modules and records ask here, each for its own language.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar, get_origin

from ..registry import Registry
from ..short_text import with_article

T = TypeVar("T")

Ctx = Mapping[str, Any]
"""What the caller of ``load`` hands to ``deserialize``."""


class Serializable(ABC):
    """An object with its own way into files and back: configs, states, arguments.

    ``serialize`` returns plain data: dicts, lists, numbers, text; in a state arrays and
    tensors too. ``deserialize(cls, data, ctx)`` gets it back: in ``ctx`` is what the
    caller of ``load`` put there, and for the objects of a state "config" and "state",
    whose fields are restored when they are touched. ``(cls, data)`` and
    ``(cls, data, config, state, ctx)`` do too. A field of a config is read before there
    is a config or a state.
    """

    @abstractmethod
    def serialize(self) -> Any:
        """Return plain data that says all about this object."""

    @classmethod
    @abstractmethod
    def deserialize(cls, *args: Any, **kwargs: Any) -> Self:
        """Return the object that the data, the first argument, says all about."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Have pydantic take instances as they are; files are read before it sees any.

        So a field may declare the class in any model or dataclass.
        """
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(cls)


@dataclass(frozen=True, slots=True)
class FieldType:
    """How values of one class become data, and data these values."""

    encode: Callable[[Any], object]
    decode: Callable[[Any], object]


_field_types: Registry[type, FieldType] = Registry()

_HELD_ANYWAY: frozenset[type] = frozenset(
    {type(None), bool, int, float, str, bytes, bytearray, memoryview}
    | {list, tuple, dict}
)

_ARRAYS = frozenset({"torch.Tensor", "numpy.ndarray"})
"""Classes that only records hold, and that are not imported to be looked at."""


def register_field_type(
    cls: type[T], *, encode: Callable[[T], object], decode: Callable[[Any], T]
) -> None:
    """Let fields hold a ``cls``, alone and in lists, tuples and dicts.

    ``encode`` returns what stands for a value: numbers, texts, None, and lists, tuples
    and dicts of these; in records tensors, arrays and bytes too. ``decode`` gets the
    same back, with tensors that are the file's, and returns the value; JSON and YAML
    make lists of tuples and texts of keys. What it raises becomes a ConfigError or a
    `RecordMismatchError` with the path of the field. Files hold the data alone, so that
    a program without the class reads it as that. A subclass is a type of its own.
    Raises TypeError for what is not a class, and for one that files hold anyway.
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
    """Return what was registered for exactly ``cls``; None for anything else."""
    return _field_types.entries.get(cls) if isinstance(cls, type) else None


def n_registered() -> int:
    """Return how many classes were registered, of which caches may know less."""
    return len(_field_types.entries)


def is_field_type(cls: object) -> bool:
    """Return whether files hold objects of ``cls`` as the data that stands for them.

    Such a class has no fields as far as files go, be it a dataclass or not.
    """
    if not isinstance(cls, type):
        cls = get_origin(cls)
    # Not issubclass: an ABC takes long to say that a class is none of it.
    return cls in _field_types or Serializable in getattr(cls, "__mro__", ())


def encoded(value: object) -> object:
    """Return the data that stands for ``value``, which is of a type of one's own.

    Raises whatever the class raises.
    """
    field_type = registered_type_of(type(value))
    if field_type is not None:
        return field_type.encode(value)
    serializable: Any = value
    return serializable.serialize()


def decoded(annotation: Any, data: object, ctx: Ctx) -> object:
    """Return the object of the class in ``annotation`` for which ``data`` stands.

    Raises whatever the class raises, and TypeError for an object of another class.
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
    """Return what ``cls.deserialize`` makes of ``data``. TypeError if it is another."""
    make: Callable[..., Any] = cls.deserialize
    around = {"config": config, "state": state}
    keywords = {name: value for name, value in around.items() if value is not None}
    if _takes(make, 4):
        obj = make(data, config, state, dict(ctx))
    elif _takes(make, 1) and not _takes(make, 2):
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


def _takes(function: Callable[..., Any], n_arguments: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * n_arguments)
    except TypeError:
        return False
    return True
