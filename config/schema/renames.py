"""Renames among changes: what was removed here and added there, alike enough."""

from collections.abc import Callable
from typing import TypeVar

from ..rewriting import schema_types as t
from ..spelling import similarity
from .change import (
    Change,
    EnumVariantAdded,
    EnumVariantRemoved,
    EnumVariantRenamed,
    EnumVariantValueChanged,
    FieldAdded,
    FieldRemoved,
    FieldRenamed,
    Severity,
    TypeChanged,
)

Added = TypeVar("Added", bound=Change)
Removed = TypeVar("Removed", bound=Change)

_THRESHOLD = 0.1


def taken_names(before: t.Struct, after: t.Struct) -> dict[str, str]:
    """Return the new name of each field that has taken or given away another's name.

    That is seen where a name has an unrelated type now, which with its default is that
    of one other field alone: two fields have swapped their names, or one has the name
    of another that moved on. Of fields of one type nothing can be seen: what files say
    under a name counts as meant for it.
    """
    clashing = {
        name
        for name in before.fields.keys() & after.fields.keys()
        if _are_unrelated(before.fields[name], after.fields[name])
    }
    old_names = [n for n in before.fields if n in clashing or n not in after.fields]
    new_names = [n for n in after.fields if n in clashing or n not in before.fields]
    pairs = [
        (old, new)
        for old in old_names
        for new in new_names
        if old != new and _is_same_field(before.fields[old], after.fields[new])
    ]
    sources, targets = [old for old, _ in pairs], [new for _, new in pairs]
    return {
        old: new
        for old, new in pairs
        if sources.count(old) == targets.count(new) == 1
        and (
            {old, new} <= clashing
            or ({old, new} & clashing and _is_telling(before.fields[old]))
        )
    }


def _are_unrelated(before: t.Field, after: t.Field) -> bool:
    """Return whether no value of one type is known to become one of the other."""
    types = before.type, after.type
    if any(isinstance(kind, t.Struct) for kind in types):
        return False
    return TypeChanged(("field",), *types).severity == Severity.ERROR


def _is_same_field(before: t.Field, after: t.Field) -> bool:
    return (
        before.type == after.type
        and before.has_default == after.has_default
        and is_same_default(before.default, after.default)
    )


def is_same_default(a: object, b: object) -> bool:
    """Return whether two defaults are one, NaN among them."""
    return a == b or repr(a) == repr(b)


def _is_telling(field: t.Field | FieldRemoved) -> bool:
    """Return whether a default is one that few fields have."""
    return field.has_default and field.default is not True and bool(field.default)


def find_renames(changes: list[Change]) -> list[Change]:
    """Return ``changes`` with each likely pair of removed and added as one rename.

    Names that are alike come first; names that are not are a pair if their struct has
    no other two fields of that type and default.
    """
    fields = _pair(changes, FieldRemoved, FieldAdded, _field_likeness, _rename)
    fields = _pair_by_default(fields)
    return _pair(
        fields, EnumVariantRemoved, EnumVariantAdded, _variant_likeness, _rename_variant
    )


def _pair(
    changes: list[Change],
    removed_kind: type[Removed],
    added_kind: type[Added],
    likeness: Callable[[Removed, Added], float],
    rename: Callable[[Removed, Added], Change],
) -> list[Change]:
    """Return ``changes`` with the most alike pairs joined first."""
    removed = [c for c in changes if isinstance(c, removed_kind)]
    added = [c for c in changes if isinstance(c, added_kind)]
    pairs = [
        (likeness(removal, addition), removal, addition)
        for removal in removed
        for addition in added
    ]
    remaining = list(changes)
    # The most alike first: a field has one new name, and nearer pairs deserve it more.
    for score, removal, addition in sorted(pairs, key=lambda pair: -pair[0]):
        if score > _THRESHOLD and removal in remaining and addition in remaining:
            remaining.remove(removal)
            remaining.remove(addition)
            remaining.append(rename(removal, addition))
    return remaining


def _pair_by_default(changes: list[Change]) -> list[Change]:
    """Return ``changes`` with pairs joined that only their type and default tell."""
    pairs = [
        (removal, addition)
        for removal in changes
        for addition in changes
        if isinstance(removal, FieldRemoved)
        and isinstance(addition, FieldAdded)
        and _is_telling(removal)
        and removal.field[:-1] == addition.field[:-1]
        and (removal.type, addition.has_default) == (addition.type, True)
        and is_same_default(removal.default, addition.default)
    ]
    ends = [end for pair in pairs for end in pair]
    unique = [pair for pair in pairs if all(ends.count(end) == 1 for end in pair)]
    joined = [end for pair in unique for end in pair]
    remaining = [change for change in changes if change not in joined]
    return remaining + [_rename(*pair) for pair in unique]


def _field_likeness(removed: FieldRemoved, added: FieldAdded) -> float:
    """Return how alike the names are, 0 if the fields could not be the same."""
    same_default = (removed.has_default, removed.default) == (
        added.has_default,
        added.default,
    )
    if not same_default or not t.is_subtype(removed.type, added.type):
        return 0.0
    if removed.field.count("*") != added.field.count("*"):
        return 0.0
    return similarity(removed.field[-1], added.field[-1])


def _rename(removed: FieldRemoved, added: FieldAdded) -> Change:
    return FieldRenamed(removed.field, added.field)


def _variant_likeness(removed: EnumVariantRemoved, added: EnumVariantAdded) -> float:
    if removed.field != added.field:
        return 0.0
    alike = similarity(removed.variant, added.variant)
    return 1 + alike if removed.value == added.value else alike


def _rename_variant(removed: EnumVariantRemoved, added: EnumVariantAdded) -> Change:
    name = added.enum_name
    if removed.value == added.value:
        return EnumVariantRenamed(added.field, name, removed.variant, added.variant)
    return EnumVariantValueChanged(
        added.field, name, removed.variant, removed.value, added.value
    )
