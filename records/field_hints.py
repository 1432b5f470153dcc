"""The declared types of a record's fields, and the defaults of omitted ones."""

import dataclasses
import typing
from typing import Any

from .entries.encoder import Storable


def hints_of_fields(cls: type[Storable]) -> dict[str, Any]:
    """Return the declared type of each field of ``cls``.

    Raises TypeError for an annotation with names that its module does not have.
    """
    hints: dict[str, Any] | None = cls.__dict__.get(_HINTS)
    if hints is not None:
        return hints
    try:
        hints = typing.get_type_hints(cls)
    except NameError as error:
        raise TypeError(
            f"{cls.__qualname__}: an annotation of its fields cannot be read "
            f"({error}); a class that a string names must be defined at the top level "
            "of its module, outside `if TYPE_CHECKING`"
        ) from error
    setattr(cls, _HINTS, hints)
    return hints


def has_default(field: "dataclasses.Field[Any]") -> bool:
    """Return whether a file may omit the field."""
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def default_of(field: "dataclasses.Field[Any]") -> Any:
    """Return the value of a field that a file omits."""
    if field.default is not dataclasses.MISSING:
        return field.default
    factory: Any = field.default_factory
    return factory()


_HINTS = "_burnish_hints"
