"""Decides which class of a union a raw struct is an instance of."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ConfigError, Problem
from ..path import child
from ..short_text import short_repr, with_article
from ..spelling import did_you_mean
from ..tree import Ident, NamedStruct, is_dict, is_items, is_mapping_value
from .declared_types import literals, members
from .fields import (
    ClassField,
    class_of,
    declared_as,
    declared_items,
    fields_of,
    is_struct_value,
    stored_fields,
    structs_in,
)


def struct_for(annotation: object, tree: object) -> type | None:
    """Return the class that ``tree`` is an instance of, None if it is not a struct.

    Among several: the one with the struct's name, else the one whose ``Literal`` fields
    match, else the first of those that have most of its fields.
    """
    return next(iter(structs_for(annotation, tree)), None)


def structs_for(annotation: object, tree: object) -> list[type]:
    """Return the classes that ``tree`` may be an instance of, in the union's order.

    There are several where only the values decide, as for ``Box[str] | Box[int]``.
    """
    structs = structs_in(annotation)
    if not structs or not (isinstance(tree, dict | Ident) or tree == ()):
        return []
    candidates = candidates_for(structs, tree)
    # A struct without fields has only its name, so the name must match.
    return candidates if isinstance(tree, Ident) else _most_alike(candidates, tree)


def candidates_for(structs: list[type], tree: object) -> list[type]:
    """Return the classes among ``structs`` that ``tree`` names, all if it has no name.

    A bare word that is the name of none of them is not an instance of any.
    """
    namesakes = _namesakes(structs, tree)
    return namesakes if isinstance(tree, Ident) else namesakes or structs


def most_alike(trees: Mapping[type, dict[str, Any]]) -> list[type]:
    """Return the classes that have most of their trees' fields, in order."""
    likeness = {cls: _likeness(cls, tree) for cls, tree in trees.items()}
    most = max(likeness.values())
    return [cls for cls, like in likeness.items() if like == most]


def name_problem(annotation: object, tree: object, path: str) -> Problem | None:
    """Return the problem of a struct whose name is not that of an allowed class."""
    name = tree.name if isinstance(tree, NamedStruct) else ""
    structs = structs_in(annotation)
    if not name or not structs or _namesakes(structs, tree):
        return None
    names = [cls.__name__ for cls in structs]
    hint = did_you_mean(name, names)
    message = (
        f"found {with_article(short_repr(name))}, expected {' or '.join(names)}, or "
        "no name"
    )
    return Problem(path, f"{message}.{hint}")


def name_problems(annotation: object, tree: object, path: str) -> Iterator[Problem]:
    """Yield the problem of each struct in ``tree`` whose name is not allowed."""
    if not (is_dict(tree) or is_items(tree)):
        return
    problem = name_problem(annotation, tree, path)
    if problem is not None:
        yield problem
        return
    struct = struct_for(annotation, tree)
    if struct is not None and is_dict(tree):
        for field in fields_of(struct).values():
            for name in field.names & tree.keys():
                below = child(path, field.name)
                yield from name_problems(field.annotation, tree[name], below)
    elif is_dict(tree) or is_items(tree):
        for key, item, declared in declared_items(annotation, tree):
            yield from name_problems(declared, item, child(path, key))


def is_choice(annotation: object) -> bool:
    """Return whether the annotation does not determine the class of a struct."""
    return len(structs_in(annotation)) > 1


def check_declared_classes(annotation: object, value: object, path: str) -> None:
    """Raise ConfigError if an object in ``value`` is of an undeclared class.

    An instance of a subclass is valid in a field, but its tree would be read as the
    base.
    """
    problem = next(_undeclared(annotation, value, path), None)
    if problem is not None:
        raise ConfigError("", [problem])


def _undeclared(annotation: object, value: object, path: str) -> Iterator[Problem]:
    if is_struct_value(value):
        cls, kinds = type(value), members(annotation)
        if cls not in map(class_of, kinds):
            names = " | ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
            message = f"found {with_article(cls.__name__)}, expected {names}"
            hint = f"Declare {names} | {cls.__name__}, so that files can tell which"
            yield Problem(path, f"{message}. {hint}")
        for field in stored_fields(declared_as(annotation, cls)):
            item = getattr(value, field.attribute)
            yield from _undeclared(field.annotation, item, child(path, field.name))
    elif is_mapping_value(value) or is_items(value):
        for key, item, declared in declared_items(annotation, value):
            yield from _undeclared(declared, item, child(path, key))


def _namesakes(structs: list[type], tree: object) -> list[type]:
    name = tree.name if isinstance(tree, NamedStruct) else tree
    return [cls for cls in structs if cls.__name__ == name]


def _most_alike(structs: list[type], tree: object) -> list[type]:
    if len(structs) == 1:
        return structs
    if not is_dict(tree):
        return structs[:1]
    return most_alike(dict.fromkeys(structs, tree))


def _likeness(cls: type, tree: dict[str, Any]) -> tuple[bool, int, int, int]:
    fields = fields_of(cls)
    fields_by_name = {name: field for field in fields.values() for name in field.names}
    tags_agree = all(
        _agrees(fields_by_name[name], tree[name])
        for name in tree
        if name in fields_by_name
    )
    n_unknown = sum(name not in fields_by_name for name in tree)
    absent = [f for f in fields.values() if not f.names & tree.keys()]
    n_missing = sum(not field.has_default for field in absent)
    # If two classes fit, the one without further fields is chosen.
    return tags_agree, -n_unknown, -n_missing, -len(absent)


def _agrees(field: ClassField, value: object) -> bool:
    """Return whether a ``Literal`` field, the tag of its class, allows ``value``."""
    allowed = [v for m in members(field.annotation) for v in literals(m)]
    return not allowed or not isinstance(value, str | int) or value in allowed
