"""What a state says about how its fields are stored: Serializable, Blob and Lazy."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, Self, TypeVar

T = TypeVar("T")


class _Mark:
    """Says that a field is stored as a record of its own."""

    def __repr__(self) -> str:
        return "blob"


MARK = _Mark()

Blob = Annotated[T, MARK]
"""``Blob[T]`` is a ``T`` that is stored as a record file, and not in the text.

Tensors, arrays, modules, optimizers and the like always are; large plain data may be.
"""


class Serializable(ABC):
    """An object with its own way into a checkpoint and back.

    ``serialize`` returns plain data: dicts, lists, numbers, text, arrays and tensors.
    ``deserialize`` may touch fields of ``state``, which are restored before it
    returns; ``(cls, data, ctx)`` does too, with "config" and "state" in ``ctx``.
    """

    @abstractmethod
    def serialize(self) -> Any:
        """Return plain data that says all about this object."""

    @classmethod
    @abstractmethod
    def deserialize(cls, data: Any, config: Any, state: Any, ctx: Any) -> Self:
        """Return the object that ``data`` says all about."""


def deserialized(
    cls: type[Any], data: object, config: object, state: object, ctx: dict[str, Any]
) -> Any:
    """Return what ``cls.deserialize`` makes of ``data``. TypeError if it is another."""
    make: Callable[..., Any] = cls.deserialize
    try:
        inspect.signature(make).bind(data, config, state, ctx)
    except TypeError:
        obj = make(data, {"config": config, "state": state, **ctx})
    else:
        obj = make(data, config, state, ctx)
    if not isinstance(obj, cls):
        raise TypeError(
            f"{cls.__qualname__}.deserialize returned a {type(obj).__qualname__}; "
            f"it must return the {cls.__qualname__}"
        )
    return obj


class Lazy:
    """Base of states whose stored objects are read when they are first touched.

    A restored instance is filled without calling ``__init__``; the ``__post_init__`` of
    a dataclass is called, and what it touches is read.
    """

    def __getattribute__(self, name: str) -> Any:
        # Not __getattr__: the default of a field would be found on the class.
        attributes: dict[str, Any] = object.__getattribute__(self, "__dict__")
        pending = attributes.get(PENDING)
        if pending and name in pending:
            value = pending[name].load()
            object.__setattr__(self, name, value)
            pending.pop(name, None)
            return value
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: object) -> None:
        attributes: dict[str, Any] = object.__getattribute__(self, "__dict__")
        super().__setattr__(name, value)
        attributes.get(PENDING, {}).pop(name, None)


PENDING = "_burnish_pending"
"""Where a lazy instance keeps the fields that were not touched yet."""
