"""Which class of a union a raw struct is meant for."""

from typing import Any

from .fields import Field, fields_of, is_struct, literals, members
from .tree import Ident, Struct, is_dict


def struct_for(annotation: Any, tree: Any) -> type | None:
    """Return the class that ``tree`` is meant for, None if it is no struct.

    Among several: the one with the struct's name, else the one whose ``Literal``
    fields say so, else the one that knows most of its fields.
    """
    structs: list[type] = [m for m in members(annotation) if is_struct(m)]
    if not structs or not (isinstance(tree, dict | Ident) or tree == ()):
        return None
    if len(structs) == 1:
        return structs[0]
    return _named(structs, tree) or _most_alike(structs, tree)


def _named(structs: list[type], tree: Any) -> type | None:
    name = tree.name if isinstance(tree, Struct) else tree
    return next((cls for cls in structs if cls.__name__ == name), None)


def _most_alike(structs: list[type], tree: Any) -> type | None:
    if not is_dict(tree):
        return None if isinstance(tree, Ident) else structs[0]
    return max(structs, key=lambda cls: _likeness(cls, tree))


def _likeness(cls: type, tree: dict[str, Any]) -> tuple[bool, int, int]:
    fields = fields_of(cls)
    known = {name: field for field in fields.values() for name in field.names}
    said = all(_agrees(known[name], tree[name]) for name in tree if name in known)
    n_unknown = sum(name not in known for name in tree)
    n_missing = sum(
        not field.has_default and not field.names & tree.keys()
        for field in fields.values()
    )
    return said, -n_unknown, -n_missing


def _agrees(field: Field, value: Any) -> bool:
    """Return whether a ``Literal`` field, the tag of its class, allows ``value``."""
    allowed = [v for m in members(field.annotation) for v in literals(m)]
    return not allowed or not isinstance(value, str | int) or value in allowed
