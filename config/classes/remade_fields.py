"""Fields that constructors accept no value for, anywhere in a value.

Files do not store them: a reader gets what the constructor creates.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..path import child
from .fields import is_struct_value, may_hold_structs, stored_fields
from .remembered import remembered


@dataclass(frozen=True, slots=True)
class RemadeField:
    """A field that the constructor fills, and the struct that has it."""

    path: str
    struct: object
    field: dataclasses.Field[Any]


def _attribute(struct: object, name: str) -> object:
    return getattr(struct, name, None)


def remade_fields_in(
    value: object,
    path: str = "",
    read: Callable[[object, str], object] = _attribute,
) -> Iterator[RemadeField]:
    """Yield the fields of all structs in ``value``, which is at ``path``.

    ``read`` returns the attributes of a struct. Fields whose names begin with ``_`` are
    left out, since they are internal to the class.
    """
    if isinstance(value, Mapping):
        for key, item in cast("Mapping[object, object]", value).items():
            yield from remade_fields_in(item, child(path, key), read)
    elif isinstance(value, list | tuple | deque):
        for i, item in enumerate(cast("Sequence[object]", value)):
            yield from remade_fields_in(item, child(path, i), read)
    elif is_struct_value(value):
        cls: Any = type(value)
        for field in _remade_fields(cls):
            yield RemadeField(child(path, field.name), value, field)
        for part in stored_fields(cls):
            # A history of a million numbers contains no struct, so it is skipped.
            if may_hold_structs(part.annotation):
                item = read(value, part.attribute)
                yield from remade_fields_in(item, child(path, part.name), read)


@remembered
def _remade_fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    if not dataclasses.is_dataclass(cls):
        return ()
    return tuple(
        field
        for field in dataclasses.fields(cls)
        if not (field.init or field.name.startswith("_"))
    )
