"""Edits of a schema's fields: finding them by pattern, moving and changing them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..path import join, parts
from ..patterns import wildcard_values
from . import schema_types as t

Path = tuple[str, ...]

SUPPLIED = t.Primitive("(computed by a rule)")
"""Type in an old schema of a value that an upgrade rule computes: unknown."""


def find_fields(
    schema: t.Struct, pattern: Sequence[str]
) -> list[tuple[t.Struct, str, Path]]:
    """Return the fields matching ``pattern``: owner, name, values of the wildcards."""
    matches: list[tuple[t.Struct, str, Path]] = []
    level: list[tuple[t.Struct, Path]] = [(schema, ())]
    while level:
        deeper: list[tuple[t.Struct, Path]] = []
        for owner, path in level:
            for name, field in owner.fields.items():
                bound = wildcard_values(pattern, (*path, name))
                if bound is not None:
                    matches.append((owner, name, bound))
                deeper.extend(_structs(field.type, (*path, name)))
        level = deeper
    return matches


def move(schema: t.Struct, owner: t.Struct, name: str, to: Sequence[str]) -> None:
    """Move the field ``name`` of ``owner`` to the path ``to``, within ``schema``."""
    field = owner.fields.pop(name)
    *parents, new_name = to
    target = schema
    for parent in parents:
        target = _enter(target, parent)
    target.fields[new_name] = replace(field, name=new_name)


def move_fields(schema: t.Struct, rename: Callable[[str], str | None]) -> None:
    """Move every field to its path by ``rename``; drop those for which it is None."""
    for owner, name, path in _renamed_fields(schema, rename, ()):
        new_path = rename(join(*path))
        if new_path is None:
            del owner.fields[name]
        else:
            move(schema, owner, name, parts(new_path))


def change(
    schema: t.Struct, path: Sequence[str], edit: Callable[[t.Field], t.Field]
) -> None:
    """Change every field at ``path``; items of lists and dicts count as fields."""
    # A final `*` matches items: those of structs are found as fields, but the type of
    # plain items is part of the type of their container.
    while path and path[-1] == "*" and not find_fields(schema, path):
        path, edit = path[:-1], _on_items(edit)
    for owner, name, _ in find_fields(schema, path):
        owner.fields[name] = edit(owner.fields[name])


def supply_field(schema: t.Struct, path: Sequence[str]) -> None:
    """Add a field at ``path`` to every file's schema, since a rule writes it there."""
    *parents, name = path
    for owner in _owners(schema, parents):
        field = owner.fields.get(name, t.Field(name, SUPPLIED))
        is_optional = None if field.is_optional is None else False
        owner.fields[name] = replace(
            field, default=None, has_default=False, is_optional=is_optional
        )


def drop_empty(schema: t.Struct, path: Sequence[str]) -> None:
    """Drop the structs along ``path`` that have become empty."""
    for length in range(len(path) - 1, 0, -1):
        for owner, name, _ in find_fields(schema, path[:length]):
            kind = owner.fields[name].type
            if isinstance(kind, t.Struct) and not kind.fields:
                del owner.fields[name]


def _renamed_fields(
    struct: t.Struct, rename: Callable[[str], str | None], path: Path
) -> list[tuple[t.Struct, str, Path]]:
    """Return the fields that are renamed or deleted, with their content."""
    matches: list[tuple[t.Struct, str, Path]] = []
    for name, field in struct.fields.items():
        field_path = (*path, name)
        if rename(join(*field_path)) != join(*field_path):
            # Its content moves along, and is not asked for separately.
            matches.append((struct, name, field_path))
            continue
        for nested, below in _structs(field.type, field_path):
            matches += _renamed_fields(nested, rename, below)
    return matches


def _on_items(edit: Callable[[t.Field], t.Field]) -> Callable[[t.Field], t.Field]:
    """Return an edit of a container that applies ``edit`` to the type of its items."""

    def edit_container(field: t.Field) -> t.Field:
        match field.type:
            case t.List(item):
                edited = replace(field.type, inner=edit(t.Field("*", item)).type)
                return replace(field, type=edited)
            case t.Dict(key, item):
                return replace(field, type=t.Dict(key, edit(t.Field("*", item)).type))
            case _:
                return field

    return edit_container


def _structs(kind: t.Type, path: Path) -> list[tuple[t.Struct, Path]]:
    """Return the structs in a type, with ``*`` in their paths for items."""
    match kind:
        case t.Struct():
            return [(kind, path)]
        case t.Option(item):
            return _structs(item, path)
        case t.List(item) | t.Dict(_, item):
            return _structs(item, (*path, "*"))
        case t.Tuple(items):
            numbered = enumerate(items)
            return [s for i, item in numbered for s in _structs(item, (*path, str(i)))]
        case t.Union(members):
            return [s for member in members for s in _structs(member, path)]
        case _:
            return []


def _owners(schema: t.Struct, parents: Sequence[str]) -> list[t.Struct]:
    """Return the structs at ``parents``, created if a rule needs them first."""
    if any("*" in part or "{" in part for part in parents):
        fields = find_fields(schema, [part for part in parents if part != "*"])
        return [
            struct
            for owner, name, _ in fields
            for struct, _ in _structs(owner.fields[name].type, ())
        ]
    struct = schema
    for part in parents:
        struct = _enter(struct, part)
    return [struct]


def _enter(struct: t.Struct, name: str) -> t.Struct:
    """Return the struct in the field ``name``, created if it is missing."""
    field = struct.fields.get(name)
    below = [] if field is None else _structs(field.type, ())
    if below:
        return below[0][0]
    if name == "*":
        return struct
    entered = t.Struct("")
    struct.fields[name] = t.Field(name, entered)
    return entered
