"""Serializable: a class that says itself how files hold its objects."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

from ..short_text import with_article


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
