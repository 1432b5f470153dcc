"""Types with parameters: ``Box[int]`` of a class, and ``Pairs[int]`` of an alias.

An alias is one of typing.TypeAliasType, which is what ``type Pairs[T] = ...`` makes.
"""

import sys
import typing
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from ..process.interrupts import raise_of_signal
from .remembered import remembered


def aliased_type(annotation: Any) -> object | None:
    """Return what an alias stands for, its parameters put in; None of what is none."""
    if _is_alias(annotation):
        return _value_of(annotation)
    alias: Any = get_origin(annotation)
    if not _is_alias(alias):
        return None
    values = zip(alias.__type_params__, get_args(annotation), strict=False)
    value: object = with_parameters(_value_of(alias), dict(values))
    return value


def parameter_values(annotation: object) -> dict[object, object]:
    """Return what the type variables of a class stand for, as of ``Box[int]``."""
    names = getattr(get_origin(annotation), "__parameters__", ())
    return dict(zip(names, get_args(annotation), strict=False))


def with_parameters(hint: Any, values: Mapping[Any, object]) -> Any:
    """Return ``hint`` with ``values`` in the place of the type variables they name."""
    if isinstance(hint, typing.TypeVar):
        return values.get(hint, hint)
    free = variables_in(hint)
    if not any(variable in values for variable in free):
        return hint
    return hint[tuple(values.get(variable, variable) for variable in free)]


def variables_in(hint: object) -> tuple[Any, ...]:
    """Return the type variables that ``hint`` has, each once."""
    if isinstance(hint, typing.TypeVar):
        return (hint,)
    return () if isinstance(hint, type) else getattr(hint, "__parameters__", ())


def _is_alias(annotation: object) -> bool:
    return type(annotation).__name__ == "TypeAliasType"  # typing's from Python 3.12 on


@remembered
def _value_of(alias: Any) -> object:
    """Return what an alias stands for, texts in it resolved where they can be."""
    value = alias.__value__
    scope = vars(sys.modules.get(alias.__module__, typing))
    holder = type("Holder", (), {"__annotations__": {"value": value}})
    try:
        scope_of_alias = {alias.__name__: alias}
        hints = typing.get_type_hints(
            holder, globalns=scope, localns=scope_of_alias, include_extras=True
        )
    except Exception as error:  # pydantic says which name is not there
        raise_of_signal(error)
        return value
    return hints["value"]
