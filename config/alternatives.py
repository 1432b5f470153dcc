"""Which class of a union a raw struct is meant for."""

from collections.abc import Iterator
from typing import Any

from .errors import ConfigError, Problem
from .fields import (
    Field,
    class_of,
    declared_as,
    fields_of,
    is_mapping,
    is_sequence,
    is_struct,
    is_struct_value,
    item_type,
    literals,
    members,
    stored_fields,
)
from .path import child
from .tree import Ident, Struct, is_dict, is_items, is_mapping_value


def struct_for(annotation: Any, tree: Any) -> type | None:
    """Return the class that ``tree`` is meant for, None if it is no struct.

    Among several: the one with the struct's name, else the one whose ``Literal``
    fields say so, else the one that knows most of its fields.
    """
    structs: list[type] = [m for m in members(annotation) if is_struct(m)]
    if not structs or not (isinstance(tree, dict | Ident) or tree == ()):
        return None
    if isinstance(tree, Ident):
        # Without fields the name is all that it says, so it has to be right.
        return _named(structs, tree)
    if len(structs) == 1:
        return structs[0]
    return _named(structs, tree) or _most_alike(structs, tree)


def check_declared(annotation: Any, value: Any, path: str) -> None:
    """Raise ConfigError if an object in ``value`` is of a class that is not declared.

    A subclass's instance stands well in a field, but as a tree it is read as the base.
    """
    problem = next(_undeclared(annotation, value, path), None)
    if problem is not None:
        raise ConfigError("", [problem])


def _undeclared(annotation: Any, value: Any, path: str) -> Iterator[Problem]:
    kinds = members(annotation)
    if is_struct_value(value):
        cls = type(value)
        if cls not in map(class_of, kinds):
            names = " | ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
            message = f"a {cls.__name__} stands where {names} is declared"
            hint = f"Declare {names} | {cls.__name__}, so that files can say which"
            yield Problem(path, f"{message}. {hint}")
        for field in stored_fields(declared_as(annotation, cls)):
            item = getattr(value, field.attribute)
            yield from _undeclared(field.annotation, item, child(path, field.name))
    elif is_mapping_value(value) or is_items(value):
        kind = next((m for m in kinds if is_mapping(m) or is_sequence(m)), Any)
        pairs = value.items() if is_mapping_value(value) else enumerate(value)
        for key, item in pairs:
            yield from _undeclared(item_type(kind, key), item, child(path, key))


def _named(structs: list[type], tree: Any) -> type | None:
    name = tree.name if isinstance(tree, Struct) else tree
    return next((cls for cls in structs if cls.__name__ == name), None)


def _most_alike(structs: list[type], tree: Any) -> type | None:
    if not is_dict(tree):
        return structs[0]
    return max(structs, key=lambda cls: _likeness(cls, tree))


def _likeness(cls: type, tree: dict[str, Any]) -> tuple[bool, int, int, int]:
    fields = fields_of(cls)
    known = {name: field for field in fields.values() for name in field.names}
    said = all(_agrees(known[name], tree[name]) for name in tree if name in known)
    n_unknown = sum(name not in known for name in tree)
    absent = [f for f in fields.values() if not f.names & tree.keys()]
    n_missing = sum(not field.has_default for field in absent)
    # Of two that both fit, the one that has no more fields than the tree.
    return said, -n_unknown, -n_missing, -len(absent)


def _agrees(field: Field, value: Any) -> bool:
    """Return whether a ``Literal`` field, the tag of its class, allows ``value``."""
    allowed = [v for m in members(field.annotation) for v in literals(m)]
    return not allowed or not isinstance(value, str | int) or value in allowed
