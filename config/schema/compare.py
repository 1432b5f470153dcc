"""The changes from an old struct to a new one, renames recognized."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..rules import schema_types as t
from ..rules.schema_edit import SUPPLIED
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
    LiteralValuesAdded,
    LiteralValuesRemoved,
    TypeChanged,
)
from .renames import find_renames
from .samples import can_be_absent, default_of

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One struct with rules of its own: the config, or a versioned one within."""

    path: Path
    old: t.Struct
    new: t.Struct
    changes: list[Change]


def compare(old: t.Struct, new: t.Struct) -> list[Comparison]:
    """Return the changes of the config, then those of each versioned struct in it."""
    comparisons: list[Comparison] = []
    pending: list[tuple[Path, t.Struct, t.Struct]] = [((), old, new)]
    while pending:
        path, before, after = pending.pop(0)
        nested: list[tuple[Path, t.Struct, t.Struct]] = []
        changes = find_renames(list(_Walk(nested).struct(before, after, ())))
        comparisons.append(Comparison(path, before, after, changes))
        pending.extend(((*path, *below), a, b) for below, a, b in nested)
    return comparisons


@dataclass(frozen=True, slots=True)
class _Walk:
    nested: list[tuple[Path, t.Struct, t.Struct]]
    """Structs with a version of their own, found on the way."""

    def struct(self, old: t.Struct, new: t.Struct, path: Path) -> Iterator[Change]:
        if old.is_open and not new.is_open:
            yield ExtraForbidden(path)
        for name, field in new.fields.items():
            if name not in old.fields:
                yield from _added(field, (*path, name), False)
            else:
                yield from self._field(old.fields[name], field, (*path, name))
        for name, field in old.fields.items():
            if name not in new.fields:
                yield from _removed(field, (*path, name))

    def _field(self, old: t.Field, new: t.Field, path: Path) -> Iterator[Change]:
        if old.type == SUPPLIED:
            return
        if isinstance(old.type, t.Struct) and isinstance(new.type, t.Dict):
            yield from _emptied(old.type, new.type, path)
            return
        if isinstance(old.type, t.Struct) != isinstance(new.type, t.Struct) and not (
            holds_struct(old.type) and holds_struct(new.type)
        ):
            yield from _added(new, path, False)
            yield from _removed(old, path)
            return
        yield from self.type(old.type, new.type, path)
        yield from _defaults(old, new, path)

    def type(self, old: t.Type, new: t.Type, path: Path) -> Iterator[Change]:
        """Yield the changes between two types of one field."""
        match old, new:
            case (t.Option(a), t.Option(b)) | (t.List(a), t.List(b)):
                below = path if isinstance(new, t.Option) else (*path, "*")
                yield from self.type(a, b, below)
            case t.Dict(key, a), t.Dict(new_key, b) if t.is_subtype(key, new_key):
                yield from self.type(a, b, (*path, "*"))
            case t.Tuple(olds), t.Tuple(news) if len(olds) == len(news):
                for i, (a, b) in enumerate(zip(olds, news, strict=True)):
                    yield from self.type(a, b, (*path, str(i)))
            case t.Struct(), t.Struct():
                yield from self._nested(old, new, path)
            case t.Enum(), t.Enum():
                yield from _variants(old, new, path)
            case t.Literal(a), t.Literal(b):
                yield from _values(a, b, path)
            case _:
                yield from self._others(old, new, path)

    def _nested(self, old: t.Struct, new: t.Struct, path: Path) -> Iterator[Change]:
        if new.version is None:
            yield from self.struct(old, new, path)
        else:
            self.nested.append((path, old, new))

    def _others(self, old: t.Type, new: t.Type, path: Path) -> Iterator[Change]:
        """Yield the changes between two kinds of types, or between two unions."""
        if old in (new, SUPPLIED):
            return
        olds, news = _members(old), _members(new)
        pairs = [(a, b) for a in olds for b in news if _is_one_struct(a, b)]
        is_wider = all(
            t.is_subtype(a, new) or any(a is b for b, _ in pairs) for a in olds
        )
        for a, b in pairs:
            yield from self.type(a, b, path)
        if not (is_wider and pairs) or isinstance(new, t.Option):
            yield TypeChanged(path, _without(old, pairs), new)


def holds_struct(one: t.Type | None) -> bool:
    """Return whether a value of this type may be a struct."""
    return one is not None and any(isinstance(m, t.Struct) for m in _members(one))


def _added(field: t.Field, path: Path, is_covered: bool) -> Iterator[Change]:
    """Yield a new field, a new struct as each of its leaves."""
    if isinstance(field.type, t.Struct):
        for name, below in field.type.fields.items():
            yield from _added(below, (*path, name), is_covered or field.has_default)
    else:
        yield FieldAdded(path, field.type, field.default, field.has_default, is_covered)


def _removed(field: t.Field, path: Path) -> Iterator[Change]:
    if isinstance(field.type, t.Struct):
        for name, below in field.type.fields.items():
            yield from _removed(below, (*path, name))
    else:
        yield FieldRemoved(path, field.type, field.default, field.has_default)


def _defaults(old: t.Field, new: t.Field, path: Path) -> Iterator[Change]:
    """Yield what a file that leaves the field out meant, if it means another now."""
    if not can_be_absent(old):
        return
    before = _versioned(old.type, old.default if old.has_default else {})
    if new.has_default and old.has_default:
        if not _same(old.default, new.default):
            yield DefaultValueChanged(path, before, new.default)
    elif new.has_default or (old.has_default and can_be_absent(new)):
        # A struct's own default has come or gone; without one its class's hold.
        if not _same(default_of(old), default_of(new)):
            yield DefaultValueRemoved(path, before)
    elif not can_be_absent(new):
        yield DefaultValueRemoved(path, before)


def _versioned(kind: t.Type, default: Any) -> Any:
    """Return the default as the old class writes it, with its version."""
    version = kind.version if isinstance(kind, t.Struct) else None
    return default if version is None else {"version": version, **default}


def _emptied(old: t.Struct, new: t.Dict, path: Path) -> Iterator[Change]:
    """Yield the changes of a struct that any keys may stand in now.

    What it says stays; what it left out, at its default, is said nowhere any more.
    """
    for name, below in old.fields.items():
        if not t.is_subtype(below.type, new.value):
            yield TypeChanged((*path, name), below.type, new.value)
        elif can_be_absent(below):
            yield DefaultValueRemoved((*path, name), default_of(below))


def _variants(old: t.Enum, new: t.Enum, path: Path) -> Iterator[Change]:
    for name, value in new.variants.items():
        if name not in old.variants:
            yield EnumVariantAdded(path, new.name, name, value)
        elif not _same(old.variants[name], value):
            before = old.variants[name]
            yield EnumVariantValueChanged(path, new.name, name, before, value)
    for name, value in old.variants.items():
        if name not in new.variants:
            yield EnumVariantRemoved(path, new.name, name, value)


def _values(old: Sequence[Any], new: Sequence[Any], path: Path) -> Iterator[Change]:
    added = tuple(value for value in new if value not in old)
    removed = tuple(value for value in old if value not in new)
    if added:
        yield LiteralValuesAdded(path, added)
    if removed:
        yield LiteralValuesRemoved(path, removed)


def _members(one: t.Type) -> tuple[t.Type, ...]:
    inner = one.type if isinstance(one, t.Option) else one
    return inner.members if isinstance(inner, t.Union) else (inner,)


def _without(old: t.Type, pairs: list[tuple[t.Type, t.Type]]) -> t.Type:
    """Return ``old`` with each struct replaced by the new one that it became."""
    became = next((b for a, b in pairs if a == old), None)
    return old if became is None else became


def _is_one_struct(a: t.Type, b: t.Type) -> bool:
    """Return whether two members of unions are versions of one struct."""
    return isinstance(a, t.Struct) and isinstance(b, t.Struct) and a.name == b.name


def _same(a: Any, b: Any) -> bool:
    return a == b or repr(a) == repr(b)
