"""Records within the state of an optimizer: stored as dicts, and made again."""

import typing
from typing import Any

from ...records.record import Record
from .plain_values import as_held


def as_dicts(value: object) -> Any:
    """Return a value with the records in it as dicts of their fields."""
    if isinstance(value, Record):
        return {name: as_dicts(field) for name, field in value.fields().items()}
    if isinstance(value, list | tuple):
        return type(value)(map(as_dicts, value))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # items are any value
    if isinstance(value, dict):
        return {key: as_dicts(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]  # items are any value
    return value


def as_declared(hint: object, usual: object, value: object) -> Any:
    """Return a stored value with the records that ``hint``, or ``usual``, has there.

    Raises TypeError where the fields of a record are other ones.
    """
    if isinstance(usual, dict) and isinstance(value, list):
        value = as_held(usual, value)
    if isinstance(value, dict):
        cls = type(usual) if isinstance(usual, Record) else _record_in(hint)
        if cls is not None:
            return _record(cls, usual, value)  # pyright: ignore[reportUnknownArgumentType]  # fields are any value
        item = typing.get_args(hint)[-1] if typing.get_origin(hint) is dict else Any
        has = usual if isinstance(usual, dict) else {}  # pyright: ignore[reportUnknownVariableType]  # items are any value
        return {k: as_declared(item, has.get(k), v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType, reportUnknownArgumentType]  # items are any value
    if isinstance(value, list | tuple):
        args = typing.get_args(hint)
        item = args[0] if typing.get_origin(hint) in (list, tuple) else Any
        item_usual = usual[0] if isinstance(usual, list | tuple) and usual else None  # pyright: ignore[reportUnknownVariableType]  # items are any value
        return type(value)(as_declared(item, item_usual, v) for v in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # items are any value
    return as_held(usual, value)


def _record(cls: type[Record], usual: object, fields: dict[str, Any]) -> Record:
    hints = typing.get_type_hints(cls)
    return cls(
        **{
            name: as_declared(hints.get(name, Any), getattr(usual, name, None), value)
            for name, value in fields.items()
        }
    )


def _record_in(hint: object) -> type[Record] | None:
    """Return the record type that ``hint`` is, or that it allows beside None."""
    if typing.get_origin(hint) in (list, tuple, dict):
        return None
    for member in typing.get_args(hint) or (hint,):
        if isinstance(member, type) and issubclass(member, Record):
            return member
    return None
