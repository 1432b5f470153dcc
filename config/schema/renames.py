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
)

Added = TypeVar("Added", bound=Change)
Removed = TypeVar("Removed", bound=Change)

_THRESHOLD = 0.1


def find_renames(changes: list[Change]) -> list[Change]:
    """Return ``changes`` with each likely pair of removed and added as one rename."""
    fields = _pair(changes, FieldRemoved, FieldAdded, _field_likeness, _rename)
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
