"""What a declared type says of values: alternatives, items, keys and literals."""

import dataclasses
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from .field_types import is_field_type
from .keyed_types import item_types, typed_keys
from .type_parameters import aliased_type

PLAIN_TYPES: tuple[object, ...] = (int, float, str, bool)
"""What most fields declare; questions about these are answered at once."""


def members(annotation: object) -> tuple[object, ...]:
    """Return the alternatives of a union, or the single type.

    ``Annotated``, ``Final`` and type aliases are resolved.
    """
    # Most annotations are classes, and those need no unwrapping.
    if isinstance(annotation, type):
        return (annotation,)
    annotation = underlying_type(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(m for argument in get_args(annotation) for m in members(argument))
    return (annotation,)


def underlying_type(annotation: Any) -> object:
    """Return ``annotation`` without the parts that do not restrict its values."""
    while True:
        aliased = aliased_type(annotation)
        if aliased is not None:
            annotation = aliased
        elif get_origin(annotation) in (Annotated, typing.Final, typing.ClassVar):
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, dataclasses.InitVar):
            annotation = annotation.type
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, typing.TypeVar):
            annotation = _bound_of(annotation)
        else:
            return annotation


def _bound_of(variable: typing.TypeVar) -> object:
    """Return the bound or the constraints of a type variable, Any without."""
    if variable.__constraints__:
        return Union[variable.__constraints__]  # noqa: UP007  # as many as there are
    return Any if variable.__bound__ is None else variable.__bound__


def allows_none(annotation: object) -> bool:
    """Return whether ``None`` is among the values."""
    if annotation in PLAIN_TYPES:
        return False
    return any(
        m in (None, type(None), Any) or None in literals(m) for m in members(annotation)
    )


def item_type(annotation: object, key: object) -> object:
    """Return the type of the item at ``key`` of a container, Any if unknown.

    For several containers (`sequence_in`, `mapping_in`) it is the union of their types.
    """
    origin = get_origin(annotation) or annotation
    # This is called for every item of a config, and nearly all are one of these.
    if not isinstance(origin, type) or origin not in _BUILT_IN:
        if origin in (Union, types.UnionType):
            kinds = [item_type(member, key) for member in members(annotation)]
            return union_of([kind for kind in kinds if kind is not Any])
        types_by_key = typed_keys(annotation)
        if types_by_key is not None:
            if isinstance(key, int):
                types_of_items = item_types(annotation) or ()
                return types_of_items[key] if key < len(types_of_items) else Any
            return types_by_key.get(str(key), Any)
    args = get_args(annotation)
    if not args or not isinstance(origin, type):
        return Any
    if issubclass(origin, Mapping):
        return args[1] if len(args) > 1 else Any
    if issubclass(origin, tuple) and args[-1] is not Ellipsis:
        return (
            args[key] if isinstance(key, int) and -len(args) <= key < len(args) else Any
        )
    return args[0]


_BUILT_IN = frozenset([list, dict, tuple, set, frozenset])


def key_type(annotation: object) -> Any:
    """Return the type of the keys of a mapping, or of several; Any if unknown."""
    kinds = [
        str if typed_keys(kind) is not None else (get_args(kind) or (Any,))[0]
        for kind in members(annotation)
    ]
    return Any if Any in kinds else union_of(kinds)


def union_of(kinds: list[Any]) -> Any:
    """Return the union of types, the one type if there is no other, or Any."""
    if len(kinds) > 1:
        return Union[tuple(kinds)]  # noqa: UP007  # as many as there are
    return kinds[0] if kinds else Any


def type_parts(annotation: object) -> tuple[object, ...]:
    """Return the types within ``annotation``: of items, keys and alternatives."""
    types_by_key = typed_keys(annotation)
    if types_by_key is not None:
        return tuple(types_by_key.values())
    return () if literals(annotation) else get_args(annotation)


def sequence_in(annotation: object) -> object:
    """Return the list, tuple or set among the alternatives.

    It is the union of several, and Any if there is none.
    """
    return union_of([m for m in members(annotation) if is_sequence(m)])


def is_sequence(annotation: object) -> bool:
    """Return whether ``annotation`` is a list, a tuple, a set or the like."""
    origin = get_origin(annotation) or annotation
    kinds = (Sequence, Set)
    text = (str, bytes, bytearray)
    return (
        isinstance(origin, type)
        and (issubclass(origin, kinds) or origin in (Iterable, Collection))
        and not issubclass(origin, text)
        and not is_field_type(origin)
    )


def is_set(annotation: object) -> bool:
    """Return whether ``annotation`` is a set, whose items have no order."""
    if get_origin(annotation) in (Union, types.UnionType):
        return all(map(is_set, members(annotation)))
    origin = get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, Set)


def literals(annotation: object) -> tuple[object, ...]:
    """Return the values of a ``Literal``, an empty tuple for other annotations."""
    # Most annotations are classes.
    if isinstance(annotation, type):
        return ()
    return get_args(annotation) if get_origin(annotation) is Literal else ()
