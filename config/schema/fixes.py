"""The rules proposed for the changes of one struct, in a working order."""

from collections.abc import Iterator, Sequence, Set
from typing import Any

from ..rewriting import schema_types as t
from ..rewriting.rewrite_rule import RewriteRule
from ..rules import DeleteField, MapFieldValue, RenameField
from .change import EnumVariantValueChanged, FieldRemoved, FieldRenamed, Stage
from .compare import StructComparison, holds_struct


def fixes(comparison: StructComparison) -> list[RewriteRule]:
    """Return the proposed rules of one struct, in an order in which they work.

    That is the order of `Stage`; the old default of a whole comes before those of its
    parts, which it may omit.
    """
    deleted = _deleted_structs(comparison)
    staged: list[tuple[tuple[Stage, int], RewriteRule]] = [
        ((Stage.STRUCTS_DELETED, 0), DeleteField(path)) for path in deleted
    ]
    staged += [((Stage.VALUES, 0), rule) for rule in _mappings(comparison)]
    moves = [c for c in comparison.changes if isinstance(c, FieldRenamed)]
    chain = [move for move in moves if move.stage == Stage.MOVED]
    names = {*_names_in(comparison.old), *_names_in(comparison.new)}
    staged += [((Stage.MOVED, 0), rule) for rule in _in_turn(chain, names)]
    for change in comparison.changes:
        if isinstance(change, EnumVariantValueChanged) or change in chain:
            continue
        rule = change.proposed_fix()
        covered = isinstance(change, FieldRemoved) and any(
            change.field[: len(path)] == path for path in deleted
        )
        if rule is not None and not covered:
            depth = len(change.field) if change.stage == Stage.OLD_DEFAULTS else 0
            staged.append(((change.stage, depth), rule))
    return [rule for _, rule in sorted(staged, key=lambda pair: pair[0])]


def _in_turn(moves: Sequence[FieldRenamed], names: Set[str]) -> Iterator[RewriteRule]:
    """Yield the rules of ``moves``, each once its target is free.

    If names are exchanged in a cycle, one field is moved to a temporary name, which is
    none of ``names``.
    """
    waiting = {move.field: move.new_name for move in moves}
    while waiting:
        free = next((f for f, to in waiting.items() if to not in waiting), None)
        if free is not None:
            yield RenameField(free, waiting.pop(free))
            continue
        field, new_name = next(iter(waiting.items()))
        own_name = (*field[:-1], _unused_name(f"{field[-1]}_before", names))
        yield RenameField(field, own_name)
        del waiting[field]
        waiting[own_name] = new_name


def _unused_name(name: str, names: Set[str]) -> str:
    while name in names:
        name += "_"
    return name


def _names_in(kind: t.Type) -> Iterator[str]:
    """Yield the names of all fields in a type, at any depth."""
    match kind:
        case t.Struct(_, fields):
            for name, below in fields.items():
                yield name
                yield from _names_in(below.type)
        case t.Option(inner) | t.List(inner) | t.Dict(_, inner):
            yield from _names_in(inner)
        case t.Tuple(kinds) | t.Union(kinds):
            for part in kinds:
                yield from _names_in(part)
        case _:
            return


def _deleted_structs(comparison: StructComparison) -> list[tuple[str, ...]]:
    """Return the outermost structs whose name is not a field now, or a new one."""
    renames = [c for c in comparison.changes if isinstance(c, FieldRenamed)]
    old_names, new_names = {c.field for c in renames}, {c.new_name for c in renames}
    deleted: list[tuple[str, ...]] = []
    pending: list[tuple[tuple[str, ...], t.Struct, t.Struct]]
    pending = [((), comparison.old, comparison.new)]
    while pending:
        path, before, now = pending.pop()
        for name, field in before.fields.items():
            field_path = (*path, name)
            if not isinstance(field.type, t.Struct) or field_path in old_names:
                continue
            after = now.fields[name].type if name in now.fields else None
            if isinstance(after, t.Struct):
                pending.append((field_path, field.type, after))
            elif field_path not in new_names and not (
                holds_struct(after) or isinstance(after, t.Dict)
            ):
                deleted.append(field_path)
    return deleted


def _mappings(comparison: StructComparison) -> Iterator[RewriteRule]:
    """Yield one mapping for each field whose members have other values now.

    A single mapping is needed, since a new value may be the old one of another member.
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
    """A mapping of values by a table; other values are unchanged."""

    def __init__(self, table: dict[Any, Any]) -> None:
        self.table = table

    def __call__(self, value: object) -> Any:
        return self.table.get(value, value)
