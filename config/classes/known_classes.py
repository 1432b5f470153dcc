"""Which classes a config may declare: pydantic's, and those that users told of."""

from collections.abc import Iterator
from typing import Any, get_args

from .field_types import is_field_type
from .fields import fields_of, is_model, is_struct, literals, members
from .remembered import remembered


def unknown_class(annotation: object) -> type | None:
    """Return a class in ``annotation`` that neither pydantic nor a user told of."""
    return next(_unknown(annotation, set()), None)


def holds_field_types(annotation: object) -> bool:
    """Return whether a type of one's own is in ``annotation``, however deep.

    A text, of which nobody knows yet what it names, may be one.
    """
    return isinstance(annotation, str) or any(
        is_field_type(member) or any(map(holds_field_types, get_args(member)))
        for member in members(annotation)
    )


def _unknown(annotation: object, visited: set[object]) -> Iterator[type]:
    for member in members(annotation):
        if is_field_type(member) or literals(member):
            continue
        if is_struct(member):
            # A model was checked when it was made.
            if member not in visited and not (is_model(member) and visited):
                visited.add(member)
                for field in fields_of(member).values():
                    yield from _unknown(field.annotation, visited)
        elif get_args(member):
            for argument in get_args(member):
                yield from _unknown(argument, visited)
        elif isinstance(member, type) and not _is_known(member):
            yield member


@remembered
def _is_known(cls: Any) -> bool:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        TypeAdapter(cls)
    except PydanticSchemaGenerationError:
        return False
    return True
