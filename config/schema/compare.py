"""The changes from an old struct to a new one, with renames recognized."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..rewriting import schema_types as t
from ..rewriting.schema_edit import SUPPLIED
from .change import (
    Change,
    DefaultValueChanged,
    DefaultValueRemoved,
    EnumVariantAdded,
    EnumVariantRemoved,
    EnumVariantValueChanged,
    ExtraForbidden,
    FieldAdded,
    FieldRemoved,
    FieldRenamed,
    KeyRequired,
    LiteralValuesAdded,
    LiteralValuesRemoved,
    NameInDoubt,
    TypeChanged,
)
from .renames import find_renames, is_same_default, taken_names
from .samples import can_be_absent, has_value_if_absent, meaning_if_absent

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StructComparison:
    """One struct with rules of its own: the config, or a versioned struct inside it."""

    path: Path
    old: t.Struct
    new: t.Struct
    changes: list[Change]


def compare(old_schema: t.Struct, new_schema: t.Struct) -> list[StructComparison]:
    """Return the changes of the config, then those of each versioned struct in it."""
    comparisons: list[StructComparison] = []
    pending: list[tuple[Path, t.Struct, t.Struct]] = [((), old_schema, new_schema)]
    while pending:
        path, before, after = pending.pop(0)
        nested: list[tuple[Path, t.Struct, t.Struct]] = []
        changes = find_renames(list(_Walk(nested).struct(before, after, ())))
        comparisons.append(StructComparison(path, before, after, changes))
        pending.extend(((*path, *below), a, b) for below, a, b in nested)
    return comparisons


@dataclass(frozen=True, slots=True)
class _Walk:
    nested: list[tuple[Path, t.Struct, t.Struct]]
    """Structs with a version of their own, found during the comparison."""

    def struct(self, before: t.Struct, after: t.Struct, path: Path) -> Iterator[Change]:
        if before.is_open and not after.is_open:
            yield ExtraForbidden(path)
        name_moves = taken_names(before, after)
        new_names = name_moves.new_names
        names_in_use = {*new_names.values()}
        for name, field in after.fields.items():
            if name in names_in_use:
                continue
            if name not in before.fields or name in new_names:
                yield from _additions(field, (*path, name), False)
            elif name in name_moves.in_doubt:
                other_path = (*path, name_moves.in_doubt[name])
                types = before.fields[name].type, field.type
                yield NameInDoubt((*path, name), other_path, *types)
            else:
                yield from self._field(before.fields[name], field, (*path, name))
        for name, field in before.fields.items():
            if name in new_names:
                new_field = after.fields[new_names[name]]
                yield FieldRenamed((*path, name), (*path, new_names[name]))
                yield from _defaults(field, new_field, (*path, name))
            elif name not in after.fields or name in names_in_use:
                yield from _removals(field, (*path, name))

    def _field(self, before: t.Field, after: t.Field, path: Path) -> Iterator[Change]:
        # The result of a user's function is unknown: only files that are tried can
        # tell.
        if before.type == SUPPLIED:
            return
        if isinstance(before.type, t.Struct) and isinstance(after.type, t.Dict):
            yield from _struct_to_dict(before.type, after.type, path)
            return
        if isinstance(before.type, t.Struct) != isinstance(
            after.type, t.Struct
        ) and not (holds_struct(before.type) and holds_struct(after.type)):
            yield from _additions(after, path, False)
            yield from _removals(before, path)
            return
        yield from self.type(before.type, after.type, path)
        yield from _defaults(before, after, path)

    def type(self, before: t.Type, after: t.Type, path: Path) -> Iterator[Change]:
        """Yield the changes between two types of one field."""
        match before, after:
            case t.Option(a), t.Option(b):
                yield from self.type(a, b, path)
            case t.List(a), t.List(b) if before.may_become(after):
                yield from self.type(a, b, (*path, "*"))
            case t.Dict(key, a), t.Dict(new_key, b) if t.is_subtype(key, new_key):
                yield from self.type(a, b, (*path, "*"))
            case t.Tuple(olds), t.Tuple(news) if len(olds) == len(news):
                for i, (a, b) in enumerate(zip(olds, news, strict=True)):
                    yield from self.type(a, b, (*path, str(i)))
            case t.Struct(), t.Struct():
                yield from self._nested(before, after, path)
            case t.Enum(), t.Enum():
                yield from _variants(before, after, path)
            case t.Literal(a), t.Literal(b):
                yield from _values(a, b, path)
            case _:
                yield from self._different_kinds(before, after, path)

    def _nested(
        self, before: t.Struct, after: t.Struct, path: Path
    ) -> Iterator[Change]:
        if after.version is None:
            yield from self.struct(before, after, path)
        else:
            self.nested.append((path, before, after))

    def _different_kinds(
        self, before: t.Type, after: t.Type, path: Path
    ) -> Iterator[Change]:
        """Yield the changes between types of two kinds, or between two unions."""
        if before in (after, SUPPLIED):
            return
        olds, news = t.alternatives(before), t.alternatives(after)
        pairs = [(a, b) for a in olds for b in news if _is_one_struct(a, b)]
        is_wider = all(
            t.is_subtype(a, after) or any(a is b for b, _ in pairs) for a in olds
        )
        for a, b in pairs:
            yield from self.type(a, b, path)
        if not (is_wider and pairs) or isinstance(after, t.Option):
            yield TypeChanged(path, _without(before, pairs), after)


def holds_struct(kind: t.Type | None) -> bool:
    """Return whether a value of this type may be a struct."""
    return kind is not None and any(
        isinstance(m, t.Struct) for m in t.alternatives(kind)
    )


def _additions(field: t.Field, path: Path, is_covered: bool) -> Iterator[Change]:
    """Yield a new field; for a new struct each of its leaves."""
    can_be_left_out = field.has_default or field.is_optional is True
    if isinstance(field.type, t.Struct):
        for name, below in field.type.fields.items():
            is_below_covered = is_covered or can_be_left_out
            yield from _additions(below, (*path, name), is_below_covered)
    else:
        is_covered = is_covered or field.is_optional is True
        yield FieldAdded(path, field.type, field.default, field.has_default, is_covered)


def _removals(field: t.Field, path: Path) -> Iterator[Change]:
    if isinstance(field.type, t.Struct):
        for name, below in field.type.fields.items():
            yield from _removals(below, (*path, name))
    else:
        yield FieldRemoved(path, field.type, field.default, field.has_default)


def _defaults(before: t.Field, after: t.Field, path: Path) -> Iterator[Change]:
    """Yield the change in what a file means by omitting the field, if it changed."""
    if before.is_optional and not can_be_absent(after):
        yield KeyRequired(path)
    if not has_value_if_absent(before):
        return
    old_default = _with_version(
        before.type, before.default if before.has_default else {}
    )
    if after.has_default and before.has_default:
        if not is_same_default(before.default, after.default):
            yield DefaultValueChanged(path, old_default, after.default)
    elif after.has_default or (before.has_default and has_value_if_absent(after)):
        # A struct's own default was added or removed; without one its class's apply.
        if not is_same_default(meaning_if_absent(before), meaning_if_absent(after)):
            yield DefaultValueRemoved(path, old_default)
    elif not has_value_if_absent(after):
        yield DefaultValueRemoved(path, old_default)


def _with_version(kind: t.Type, default: Any) -> object:
    """Return the default as the old class writes it, with its version."""
    version = kind.version if isinstance(kind, t.Struct) else None
    return default if version is None else {"version": version, **default}


def _struct_to_dict(before: t.Struct, after: t.Dict, path: Path) -> Iterator[Change]:
    """Yield the changes of a struct that has become a dict of any keys.

    Its values stay, but a value that was omitted as its default is lost.
    """
    for name, below in before.fields.items():
        if not t.is_subtype(below.type, after.value):
            yield TypeChanged((*path, name), below.type, after.value)
        elif has_value_if_absent(below):
            yield DefaultValueRemoved((*path, name), meaning_if_absent(below))


def _variants(before: t.Enum, after: t.Enum, path: Path) -> Iterator[Change]:
    for name, value in after.variants.items():
        if name not in before.variants:
            yield EnumVariantAdded(path, after.name, name, value)
        elif not is_same_default(before.variants[name], value):
            old_value = before.variants[name]
            yield EnumVariantValueChanged(path, after.name, name, old_value, value)
    for name, value in before.variants.items():
        if name not in after.variants:
            yield EnumVariantRemoved(path, after.name, name, value)


def _values(
    before: Sequence[object], after: Sequence[object], path: Path
) -> Iterator[Change]:
    added = tuple(value for value in after if value not in before)
    removed = tuple(value for value in before if value not in after)
    if added:
        yield LiteralValuesAdded(path, added)
    if removed:
        yield LiteralValuesRemoved(path, removed)


def _without(kind: t.Type, pairs: list[tuple[t.Type, t.Type]]) -> t.Type:
    """Return ``kind`` with each struct replaced by its new version."""
    became = next((b for a, b in pairs if a == kind), None)
    return kind if became is None else became


def _is_one_struct(a: t.Type, b: t.Type) -> bool:
    """Return whether two members of unions are versions of one struct."""
    return isinstance(a, t.Struct) and isinstance(b, t.Struct) and a.name == b.name
