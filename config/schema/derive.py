"""Conversion of a class or an annotation to its type as data."""

import enum
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

from ..classes.declared_types import is_sequence, is_set, literals, members, type_parts
from ..classes.docstrings import docs_of
from ..classes.editable import EDITABLE
from ..classes.field_types import is_field_type
from ..classes.fields import (
    MISSING,
    ClassField,
    class_of,
    extra_of,
    fields_of,
    is_mapping,
    is_struct,
    is_struct_value,
)
from ..classes.keyed_types import (
    is_closed,
    is_typed_dict,
    item_types,
    optional_keys,
    typed_keys,
)
from ..classes.pydantic_internals import has_validators
from ..classes.type_parameters import aliased_type
from ..encode import encode, to_plain
from ..errors import ConfigError
from ..path import join
from ..rewriting import schema_types as t
from ..versioned import config_version_of


def schema_of(cls: type) -> t.Struct:
    """Return the schema of a config class: fields, types, defaults, docs, version."""
    return _struct(cls, ())


def type_of(annotation: object) -> t.Type:
    """Return the type that ``annotation`` denotes."""
    return _type(annotation, ())


def limits_values(annotation: object) -> bool:
    """Return whether values of the type may be refused, by bounds or validators."""
    return _limits(annotation, [])


def own_types_in(cls: type) -> dict[str, str]:
    """Return the paths of fields of user-defined types, with the types' names."""
    return dict(_own_types(cls, (), ()))


def _own_types(
    annotation: object, path: tuple[str, ...], above: tuple[object, ...]
) -> Iterator[tuple[str, str]]:
    for member in members(annotation):
        if is_field_type(member):
            yield join(*path), class_of(member).__qualname__
        elif is_struct(member) and member not in above:
            for field in fields_of(member).values():
                below = (*path, field.name)
                yield from _own_types(field.annotation, below, (*above, member))
        elif (is_mapping(member) or is_sequence(member)) and member not in above:
            for part in type_parts(member):
                yield from _own_types(part, (*path, "*"), (*above, member))


def _limits(annotation: object, visited: list[object]) -> bool:
    if annotation in visited:
        return False
    visited.append(annotation)
    aliased = aliased_type(annotation)
    if aliased is not None:
        return _limits(aliased, visited)
    if get_origin(annotation) is Annotated:
        kind, *marks = get_args(annotation)
        return any(mark is not EDITABLE for mark in marks) or _limits(kind, visited)
    if not is_struct(annotation):
        return any(_limits(part, visited) for part in type_parts(annotation))
    if has_validators(annotation):
        return True
    return hasattr(annotation, "__post_init__") or any(
        _limits(field.annotation, visited) for field in fields_of(annotation).values()
    )


def _type(annotation: object, above: tuple[object, ...]) -> t.Type:
    kinds = [m for m in members(annotation) if m is not type(None) and m is not None]
    alternatives = _unique(_single(kind, above) for kind in kinds)
    if not alternatives:
        return t.Primitive("None")
    value_type = (
        alternatives[0] if len(alternatives) == 1 else t.Union(tuple(alternatives))
    )
    return t.Option(value_type) if len(kinds) < len(members(annotation)) else value_type


def _single(kind: object, above: tuple[object, ...]) -> t.Type:
    args = get_args(kind)
    if is_struct(kind):
        # A struct that contains itself would be infinite, so inside it is only named.
        return t.Ref(kind.__name__) if kind in above else _struct(kind, above)
    if literals(kind):
        return t.Literal(tuple(_value(value) for value in args))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        variants = {name: _value(member) for name, member in kind.__members__.items()}
        return t.Enum(kind.__name__, variants)
    if (is_mapping(kind) or is_sequence(kind)) and kind in above:
        return t.Ref(getattr(kind, "__name__", "") or str(kind))
    types_by_key = typed_keys(kind)
    if types_by_key is not None and is_typed_dict(class_of(kind)):
        return _typed_dict(kind, types_by_key, (*above, kind))
    if is_mapping(kind):
        above = (*above, kind)
        # A Counter's values are numbers, so its annotation has keys only.
        key, value = (*args, int) if len(args) == 1 else args or (Any, Any)
        return t.Dict(_type(key, above), _type(value, above))
    if is_sequence(kind):
        return _sequence(kind, args, (*above, kind))
    return t.Primitive(getattr(kind, "__name__", None) or str(kind))


def _typed_dict(
    kind: object, types_by_key: Mapping[str, object], above: tuple[object, ...]
) -> t.Struct:
    """Return a dict of declared keys as a struct, which it is in files."""
    cls = class_of(kind)
    optional = optional_keys(cls)
    fields = {
        name: t.Field(name, _type(annotation, above), is_optional=name in optional)
        for name, annotation in types_by_key.items()
    }
    return t.Struct(cls.__name__, fields, None, not is_closed(cls))


def _sequence(kind: Any, args: tuple[Any, ...], above: tuple[object, ...]) -> t.Type:
    origin = getattr(kind, "__origin__", kind)
    types_of_items = item_types(kind)
    if types_of_items is not None:
        return t.Tuple(tuple(_type(item, above) for item in types_of_items))
    is_empty = not args and hasattr(kind, "__origin__")
    if issubclass(origin, tuple) and (is_empty or (args and args[-1] is not Ellipsis)):
        return t.Tuple(tuple(_type(arg, above) for arg in args if arg != ()))
    return t.List(_type(args[0] if args else Any, above), is_set(kind))


def _struct(cls: type, above: tuple[object, ...]) -> t.Struct:
    docs = docs_of(cls)
    fields = {
        field.name: t.Field(
            field.name,
            _type(field.annotation, (*above, cls)),
            _default(field),
            field.has_default,
            docs.get(field.attribute, ""),
        )
        for field in fields_of(cls).values()
    }
    is_open = extra_of(cls) in ("allow", "ignore")
    return t.Struct(cls.__name__, fields, config_version_of(cls), is_open)


def _default(field: ClassField) -> Any:
    """Return the default as a tree; for a struct, only differences from its class."""
    default = field.make_default()
    if default is MISSING:
        return None
    tree = _value(default, field.annotation)
    if is_struct_value(default):
        return {name: value for name, value in tree.items() if name != "version"}
    return tree


def _value(value: object, annotation: object = None) -> Any:
    try:
        tree = encode(value, elide_defaults=True, annotation=annotation)
        return to_plain(tree)
    except ConfigError:
        return repr(value)


def _unique(types: Iterable[t.Type]) -> list[t.Type]:
    """Return each of ``types`` once; dicts of fields are not hashable."""
    distinct: list[t.Type] = []
    for kind in types:
        if kind not in distinct:
            distinct.append(kind)
    return distinct
