"""The fields of a state: one answer for all that reads or writes one."""

import dataclasses
from typing import Any

_names: dict[Any, tuple[str, ...]] = {None: ()}


def field_names(state_type: type | None) -> tuple[str, ...]:
    """Return the names that a state stores, private ones too, class variables not."""
    names = _names.get(state_type)
    if names is None:
        fields: Any = dataclasses.fields(state_type)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # a record is a dataclass
        names = _names[state_type] = tuple(field.name for field in fields)
    return names


def fields_of(state: Any) -> dict[str, Any]:
    """Return the fields of a state by name."""
    return {name: getattr(state, name) for name in field_names(type(state))}
