"""Marks in a state for how its fields are stored: Blob and Lazy."""

from typing import Annotated, Any, TypeVar, get_args, get_origin

from ...config.classes.declared_types import members

T = TypeVar("T")


class _Mark:
    """Marks a field that is stored as a record of its own."""

    def __repr__(self) -> str:
        return "blob"


MARK = _Mark()

Blob = Annotated[T, MARK]
"""A ``Blob[T]`` is a ``T`` that is stored in a record file, not in the text.

Tensors, arrays, modules, optimizers and the like always are; large plain data may be.
"""


def is_blob_field(annotation: object) -> bool:
    """Return whether ``annotation`` is a ``Blob[T]``, or an optional one."""
    if get_origin(annotation) is Annotated:
        return any(mark is MARK for mark in get_args(annotation)[1:])
    return any(
        is_blob_field(a) for a in get_args(annotation) if a is not type(None)
    ) and (len(members(annotation)) > 1)


class Lazy:
    """Base of states whose stored objects are read on first access.

    A restored instance is filled without calling ``__init__``; the ``__post_init__`` of
    a dataclass is called, and what it accesses is read. A copy or a pickle reads all
    fields.
    """

    def __getattribute__(self, name: str) -> Any:
        # Not __getattr__, since the default of a field would be found on the class.
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

    def __getstate__(self) -> dict[str, Any]:
        attributes: dict[str, Any] = object.__getattribute__(self, "__dict__")
        # Two states with the same pending fields would take them from each other.
        for name in [*attributes.get(PENDING, ())]:
            getattr(self, name)
        return {name: v for name, v in attributes.items() if name != PENDING}


PENDING = "_burnish_pending"
"""The attribute in which a lazy instance keeps its unread fields."""
