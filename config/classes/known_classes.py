"""Which classes a config may declare: pydantic's, and those that users told of."""

from collections.abc import Collection, Container
from typing import Any, get_origin

from .field_types import is_field_type
from .fields import is_model, is_struct, types_within
from .remembered import remembered

_ABSTRACT = (Collection, Container)
"""Of these pydantic makes no values: what is in them would stay as a file has it."""


def unknown_class(annotation: object) -> type | None:
    """Return a class in ``annotation`` that neither pydantic nor a user told of."""
    # A model within was checked when it was made.
    root: Any = annotation
    kinds = types_within(
        annotation, is_entered=lambda cls: cls is root or not is_model(cls)
    )
    unknown: Any = next(filter(_is_unknown, kinds), None)
    cls: type | None = get_origin(unknown) or unknown
    return cls


def holds_field_types(annotation: object) -> bool:
    """Return whether ``annotation`` contains a user-defined type, however deep.

    A string annotation that is not resolved yet may be one.
    """
    kinds = types_within(annotation, is_entered=lambda _: False)
    return any(isinstance(kind, str) or is_field_type(kind) for kind in kinds)


def _is_unknown(kind: Any) -> bool:
    if is_field_type(kind) or is_struct(kind):
        return False
    cls = get_origin(kind) or kind
    return cls in _ABSTRACT or (
        cls is kind and isinstance(kind, type) and not _is_known(kind)
    )


@remembered
def _is_known(cls: Any) -> bool:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        TypeAdapter(cls)
    except PydanticSchemaGenerationError:
        return False
    return True
