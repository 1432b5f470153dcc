"""Generic types: ``Box[int]`` of a class, and ``Pairs[int]`` of an alias.

An alias is a typing.TypeAliasType, which ``type Pairs[T] = ...`` creates.
"""

import sys
import typing
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from ..process.interrupts import raise_of_signal
from .remembered import remembered


def aliased_type(annotation: Any) -> object | None:
    """Return the value of an alias, its parameters replaced; None for other hints."""
    if _is_alias(annotation):
        return _value_of(annotation)
    alias: Any = get_origin(annotation)
    if not _is_alias(alias):
        return None
    values = zip(alias.__type_params__, get_args(annotation), strict=False)
    value: object = with_parameters(_value_of(alias), dict(values))
    return value


def parameter_values(annotation: object) -> dict[object, object]:
    """Return the values of the type variables of a class, as in ``Box[int]``."""
    names = getattr(get_origin(annotation), "__parameters__", ())
    return dict(zip(names, get_args(annotation), strict=False))


def with_parameters(hint: Any, values: Mapping[Any, object]) -> Any:
    """Return ``hint`` with its type variables replaced by ``values``."""
    if isinstance(hint, typing.TypeVar):
        return values.get(hint, hint)
    free = variables_in(hint)
    if not any(variable in values for variable in free):
        return hint
    return hint[tuple(values.get(variable, variable) for variable in free)]


def variables_in(hint: object) -> tuple[Any, ...]:
    """Return the type variables in ``hint``, each once."""
    if isinstance(hint, typing.TypeVar):
        return (hint,)
    return () if isinstance(hint, type) else getattr(hint, "__parameters__", ())


def _is_alias(annotation: object) -> bool:
    return type(annotation).__name__ == "TypeAliasType"  # typing's from Python 3.12 on


@remembered
def _value_of(alias: Any) -> object:
    """Return the value of an alias; strings in it are resolved where possible."""
    value = alias.__value__
    scope = vars(sys.modules.get(alias.__module__, typing))
    holder = type("Holder", (), {"__annotations__": {"value": value}})
    try:
        scope_of_alias = {alias.__name__: alias}
        hints = typing.get_type_hints(
            holder, globalns=scope, localns=scope_of_alias, include_extras=True
        )
    except Exception as error:  # pydantic reports which name does not exist
        raise_of_signal(error)
        return value
    return hints["value"]
