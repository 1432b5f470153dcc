"""What rewrite rules do to an old schema: so much of a change is taken care of."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import singledispatch
from typing import Any

from ..encode import encode, to_plain
from ..errors import ConfigVersionError, Problem
from ..fields import fields_of, is_mapping, is_sequence, is_struct, item_type, members
from ..path import bind, fill, join, parts
from ..rules import (
    AddDefault,
    ChangeDefault,
    CheckValue,
    DeleteField,
    MapFieldValue,
    RejectValues,
    RenameField,
    RewriteRule,
)
from ..versioned import is_versioned, rules_of
from . import types as t
from .compare import SUPPLIED


def upgrade_schema(cls: type, old: t.Struct) -> t.Struct:
    """Return ``old`` as the upgrade rules of ``cls``, and of what is in it, leave it.

    Raises ConfigVersionError for a schema that is newer than its class.
    """
    struct = copy.deepcopy(old)
    if is_versioned(cls):
        current, version = cls.version(), struct.version or 0
        if version > current:
            message = f"the schema is of version {version}, {cls.__name__} at {current}"
            raise ConfigVersionError("", [Problem("version", message)])
        rules = rules_of(cls)
        for step in range(version, current):
            for rule in rules.get(step, ()):
                _apply(rule, struct)
    for field in fields_of(cls).values():
        stored = struct.fields.get(field.name)
        if stored is not None:
            below = _upgrade_type(field.annotation, stored.type)
            struct.fields[field.name] = replace(stored, type=below)
    return struct


def _upgrade_type(annotation: Any, old: t.Type) -> t.Type:
    """Return ``old`` with the structs in it upgraded by their classes."""
    kinds = members(annotation)
    sequence = next((m for m in kinds if is_sequence(m)), Any)
    mapping = next((m for m in kinds if is_mapping(m)), Any)
    match old:
        case t.Option(inner):
            return t.Option(_upgrade_type(annotation, inner))
        case t.Union(inner):
            return t.Union(tuple(_upgrade_type(annotation, one) for one in inner))
        case t.List(inner):
            return t.List(_upgrade_type(item_type(sequence, 0), inner))
        case t.Tuple(items):
            kinds_of = [item_type(sequence, i) for i in range(len(items))]
            return t.Tuple(tuple(map(_upgrade_type, kinds_of, items)))
        case t.Dict(key, value):
            return t.Dict(key, _upgrade_type(item_type(mapping, ""), value))
        case t.Struct(name):
            structs = [m for m in kinds if is_struct(m)]
            named = [m for m in structs if m.__name__ == name]
            found = named or (structs if len(structs) == 1 else [])
            return upgrade_schema(found[0], old) if found else old
        case _:
            return old


@singledispatch
def _apply(rule: RewriteRule, struct: t.Struct) -> None:
    """Change ``struct`` as ``rule`` changes files; a user's own rule moves fields."""
    if type(rule).rename is RewriteRule.rename:
        return
    for owner, name, path in _moves(rule, struct, ()):
        field = owner.fields.pop(name)
        new = rule.rename(join(*path))
        if new is None:
            continue
        *parents, last = parts(new)
        target = struct
        for part in parents:
            target = _enter(target, part)
        target.fields[last] = replace(field, name=last)


def _moves(
    rule: RewriteRule, struct: t.Struct, path: tuple[str, ...]
) -> list[tuple[t.Struct, str, tuple[str, ...]]]:
    """Return the fields that ``rule`` renames or deletes, with all that is in them."""
    found: list[tuple[t.Struct, str, tuple[str, ...]]] = []
    for name, field in struct.fields.items():
        here = (*path, name)
        if rule.rename(join(*here)) != join(*here):
            found.append((struct, name, here))
            continue
        for inner, below in _structs(field.type, here):
            found += _moves(rule, inner, below)
    return found


@_apply.register
def _(rule: RenameField, struct: t.Struct) -> None:
    for owner, name, found in _find(struct, rule.old_field):
        field = owner.fields.pop(name)
        *parents, last = fill(rule.new_field, found)
        target = struct
        for part in parents:
            target = _enter(target, part)
        target.fields[last] = replace(field, name=last)
    _drop_empty(struct, rule.old_field)


@_apply.register
def _(rule: DeleteField, struct: t.Struct) -> None:
    for owner, name, _ in _find(struct, rule.field):
        del owner.fields[name]
    _drop_empty(struct, rule.field)


@_apply.register
def _(rule: AddDefault, struct: t.Struct) -> None:
    *parents, last = tuple(rule.field)
    for owner in _owners(struct, parents):
        field = owner.fields.get(last, t.Field(last, SUPPLIED))
        owner.fields[last] = replace(field, default=None, has_default=False)


@_apply.register
def _(rule: ChangeDefault, struct: t.Struct) -> None:
    default = to_plain(encode(rule.new_default))
    _edit(struct, rule.field, lambda f: replace(f, default=default, has_default=True))


@_apply.register
def _(rule: MapFieldValue, struct: t.Struct) -> None:
    _edit(struct, rule.field, lambda field: _mapped(rule.map_fn, field))


@_apply.register
def _(rule: CheckValue, struct: t.Struct) -> None:
    allowed = t.Literal(tuple(rule.allowed_values))
    _edit(struct, rule.field, lambda f: replace(f, type=_rewrap(f.type, allowed)))


@_apply.register
def _(rule: RejectValues, struct: t.Struct) -> None:
    gone = tuple(rule.disallowed_values)
    _edit(struct, rule.field, lambda f: replace(f, type=_less(f.type, gone)))


def _edit(
    struct: t.Struct, path: Sequence[str], change: Callable[[t.Field], t.Field]
) -> None:
    """Change every field at ``path``; items of lists and dicts count as fields."""
    while path and path[-1] == "*" and not _find(struct, path):
        path, change = path[:-1], _on_items(change)
    for owner, name, _ in _find(struct, path):
        owner.fields[name] = change(owner.fields[name])


def _on_items(change: Callable[[t.Field], t.Field]) -> Callable[[t.Field], t.Field]:
    """Return a change of a container that does ``change`` to the type of its items."""

    def changed(field: t.Field) -> t.Field:
        match field.type:
            case t.List(inner):
                return replace(field, type=t.List(change(_item(inner)).type))
            case t.Dict(key, inner):
                return replace(field, type=t.Dict(key, change(_item(inner)).type))
            case _:
                return field

    return changed


def _item(inner: t.Type) -> t.Field:
    return t.Field("*", inner)


def _find(
    struct: t.Struct, pattern: Sequence[str]
) -> list[tuple[t.Struct, str, tuple[str, ...]]]:
    """Return the fields at ``pattern``: owner, name, what the wildcards stand for."""
    found: list[tuple[t.Struct, str, tuple[str, ...]]] = []
    level: list[tuple[t.Struct, tuple[str, ...]]] = [(struct, ())]
    while level:
        deeper: list[tuple[t.Struct, tuple[str, ...]]] = []
        for owner, path in level:
            for name, field in owner.fields.items():
                bound = bind(pattern, (*path, name))
                if bound is not None:
                    found.append((owner, name, bound))
                deeper.extend(_structs(field.type, (*path, name)))
        level = deeper
    return found


def _structs(
    one: t.Type, path: tuple[str, ...]
) -> list[tuple[t.Struct, tuple[str, ...]]]:
    """Return the structs in a type, with ``*`` in their path for items."""
    match one:
        case t.Struct():
            return [(one, path)]
        case t.Option(inner):
            return _structs(inner, path)
        case t.List(inner) | t.Dict(_, inner):
            return _structs(inner, (*path, "*"))
        case t.Tuple(items):
            numbered = enumerate(items)
            return [s for i, item in numbered for s in _structs(item, (*path, str(i)))]
        case t.Union(inner):
            return [found for member in inner for found in _structs(member, path)]
        case _:
            return []


def _owners(struct: t.Struct, parents: Sequence[str]) -> list[t.Struct]:
    """Return the structs at ``parents``, made if a rule is the first to need them."""
    if any("*" in part or "{" in part for part in parents):
        found = [(o, n) for o, n, _ in _find(struct, [p for p in parents if p != "*"])]
        return [s for o, n in found for s, _ in _structs(o.fields[n].type, ())]
    for part in parents:
        struct = _enter(struct, part)
    return [struct]


def _enter(struct: t.Struct, name: str) -> t.Struct:
    field = struct.fields.get(name)
    below = [] if field is None else _structs(field.type, ())
    if below:
        return below[0][0]
    if name == "*":
        return struct
    made = t.Struct("")
    struct.fields[name] = t.Field(name, made)
    return made


def _drop_empty(struct: t.Struct, path: Sequence[str]) -> None:
    """Drop the structs around ``path`` that nothing is left of."""
    for length in range(len(path) - 1, 0, -1):
        for owner, name, _ in _find(struct, path[:length]):
            kind = owner.fields[name].type
            if isinstance(kind, t.Struct) and not kind.fields:
                del owner.fields[name]


def _mapped(map_fn: Callable[[Any], Any], field: t.Field) -> t.Field:
    """Return the field after the mapping, as far as its values are known."""
    default = _try(map_fn, field.default) if field.has_default else None
    match field.type:
        case t.Enum(name, variants):
            mapped = {key: _try(map_fn, value) for key, value in variants.items()}
            return replace(field, type=t.Enum(name, mapped), default=default)
        case t.Literal(values):
            literal = t.Literal(tuple(_try(map_fn, value) for value in values))
            return replace(field, type=literal, default=default)
        case _:
            return replace(field, type=SUPPLIED)


def _try(map_fn: Callable[[Any], Any], value: Any) -> Any:
    try:
        return map_fn(value)
    except Exception:  # a user's function, on a value that no file may have
        return value


def _rewrap(old: t.Type, new: t.Type) -> t.Type:
    return t.Option(new) if isinstance(old, t.Option) else new


def _less(old: t.Type, gone: tuple[Any, ...]) -> t.Type:
    match old:
        case t.Option(inner):
            return t.Option(_less(inner, gone))
        case t.Literal(values):
            return t.Literal(tuple(value for value in values if value not in gone))
        case t.Enum(name, variants):
            left = {key: value for key, value in variants.items() if value not in gone}
            return t.Enum(name, left)
        case _:
            return old
