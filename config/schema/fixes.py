"""The rules that are proposed for the changes of one struct, in an order that works."""

from collections.abc import Iterator
from typing import Any, cast

from ..rules import (
    AddDefault,
    ChangeDefault,
    DeleteField,
    MapFieldValue,
    RenameField,
    RewriteRule,
)
from . import types as t
from .change import (
    Change,
    EnumVariantValueChanged,
    FieldAdded,
    FieldRemoved,
    FieldRenamed,
)
from .compare import Comparison, holds_struct


def fixes(comparison: Comparison) -> list[RewriteRule]:
    """Return the proposed rules of one struct, in an order in which they work.

    Old defaults come first, so that what follows sees them, and that of a whole before
    those of its parts, which it may leave out; values are mapped and checked where
    they were; a struct is emptied before it goes, or another field takes its name.
    """
    gone = _structs_gone(comparison)
    staged = [((6, 0), cast(RewriteRule, DeleteField(path))) for path in gone]
    staged += [((1, 0), rule) for rule in _mappings(comparison)]
    for change in comparison.changes:
        if isinstance(change, EnumVariantValueChanged):
            continue
        rule = change.proposed_fix()
        covered = isinstance(change, FieldRemoved) and any(
            change.field[: len(path)] == path for path in gone
        )
        if rule is not None and not covered:
            stage = _stage(change, rule)
            staged.append(((stage, len(change.field) if stage == 0 else 0), rule))
    return [rule for _, rule in sorted(staged, key=lambda pair: pair[0])]


def _structs_gone(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return the outermost structs whose name is no field, or another new one, now."""
    taken = {c.new_name for c in comparison.changes if isinstance(c, FieldRenamed)}
    found: list[tuple[str, ...]] = []
    pending: list[tuple[tuple[str, ...], t.Struct, t.Struct]]
    pending = [((), comparison.old, comparison.new)]
    while pending:
        path, old, new = pending.pop()
        for name, field in old.fields.items():
            here = (*path, name)
            if not isinstance(field.type, t.Struct):
                continue
            after = new.fields[name].type if name in new.fields else None
            if isinstance(after, t.Struct):
                pending.append((here, field.type, after))
            elif here not in taken and not (
                holds_struct(after) or isinstance(after, t.Dict)
            ):
                found.append(here)
    return found


def _stage(change: Change, rule: RewriteRule) -> int:
    if isinstance(change, FieldAdded):
        return 7
    if isinstance(rule, AddDefault | ChangeDefault):
        return 0
    if isinstance(rule, DeleteField):
        return 2
    if not isinstance(rule, RenameField):
        return 1
    old, new = tuple(rule.old_field), tuple(rule.new_field)
    goes_below = new[: len(old)] == old
    goes_above = old[: len(new)] == new
    return 3 if goes_below else 5 if goes_above else 4


def _mappings(comparison: Comparison) -> Iterator[RewriteRule]:
    """Yield one mapping for each field whose members have other values now.

    All at once, since a new value may be the old one of another member.
    """
    tables: dict[tuple[str, ...], dict[Any, Any]] = {}
    for change in comparison.changes:
        if isinstance(change, EnumVariantValueChanged):
            table = tables.setdefault(change.field, {})
            table[change.old_value] = change.new_value
    for field, table in tables.items():
        yield MapFieldValue(
            field, _Lookup(table), rendered=f"lambda x: {table!r}.get(x, x)"
        )


class _Lookup:
    """A mapping of values by a table; others stay."""

    def __init__(self, table: dict[Any, Any]) -> None:
        self.table = table

    def __call__(self, value: Any) -> Any:
        return self.table.get(value, value)
