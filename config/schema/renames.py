"""Renames among changes: pairs of similar removed and added fields."""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import TypeVar

from ..rewriting import schema_types as t
from ..spelling import similarity
from ..tree import is_dict, is_items
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


@dataclass(frozen=True, slots=True)
class TakenNames:
    """The fields of a struct that now have the name of another one."""

    new_names: dict[str, str]
    """The new name of each field that took a name, or gave its own away."""

    in_doubt: dict[str, str]
    """The possible new name of each field where the schema does not decide it."""

    @property
    def names(self) -> set[str]:
        """All names in either of the two."""
        moves = {**self.new_names, **self.in_doubt}
        return {*moves, *moves.values()}

    def add(self, moves: Mapping[str, str], *, is_sure: bool) -> None:
        """Add fields whose names were exchanged together."""
        (self.new_names if is_sure else self.in_doubt).update(moves)


def taken_names(before: t.Struct, after: t.Struct) -> TakenNames:
    """Return the fields that have taken others' names, and those that may have.

    The evidence is a name that has another type now, which, with its default, is that
    of exactly one other field: two fields have swapped their names, or one has the name
    of another that was renamed. Fields that exchanged names in a cycle have done so if
    a type is one that no value of the old type has, or if defaults show it; else each
    of them may have got its new type in place. Fields of one type show nothing: the
    value under a name counts as meant for it.
    """
    changed = {
        name
        for name in before.fields.keys() & after.fields.keys()
        if _has_other_type(before.fields[name], after.fields[name])
    }
    clashing = {n for n in changed if not _overlap(before.fields[n], after.fields[n])}
    moves = TakenNames({}, {})
    _add_circles(moves, before, after, changed, clashing)
    _add_chains(moves, before, after, changed)
    _add_single_moves(moves, before, after, clashing)
    _add_doubts(moves, before, after, changed)
    return moves


def _add_circles(
    moves: TakenNames,
    before: t.Struct,
    after: t.Struct,
    changed: Set[str],
    clashing: Set[str],
) -> None:
    for is_one in (_is_same_field, _is_same_type):
        pairs = _unique_pairs(before, after, changed - moves.names, is_one)
        for circle in _circles(pairs):
            has_telling = is_one is _is_same_field and any(
                _is_telling(before.fields[name]) for name in circle
            )
            moves.add(circle, is_sure=has_telling or not clashing.isdisjoint(circle))


def _add_chains(
    moves: TakenNames, before: t.Struct, after: t.Struct, changed: Set[str]
) -> None:
    pairs = _unique_pairs(
        before, after, changed - moves.names, _is_same_field, with_others=True
    )
    for chain in _chains(pairs, before.fields.keys() - after.fields.keys()):
        is_sure = all(_is_telling(before.fields[name]) for name in chain)
        moves.add(chain, is_sure=is_sure)


def _add_single_moves(
    moves: TakenNames, before: t.Struct, after: t.Struct, clashing: Set[str]
) -> None:
    """Add fields that have the name of a removed one, if defaults show it."""
    names = clashing - moves.names
    pairs = _unique_pairs(before, after, names, _is_same_field, with_others=True)
    for source, target in pairs.items():
        is_told = {source, target} & names and _is_telling(before.fields[source])
        if is_told and not {source, target} & moves.names:
            moves.new_names[source] = target


def _add_doubts(
    moves: TakenNames, before: t.Struct, after: t.Struct, changed: Set[str]
) -> None:
    """Add fields of a changed type whose old type and default a new field has.

    Of several such fields the one with the most similar name is chosen.
    """
    new_names = after.fields.keys() - before.fields.keys() - moves.names
    for name in changed - moves.names:
        heirs = [
            new_name
            for new_name in sorted(new_names)
            if _is_same_field(before.fields[name], after.fields[new_name])
        ]
        if heirs:
            moves.in_doubt[name] = max(heirs, key=lambda heir: similarity(name, heir))


def _unique_pairs(
    before: t.Struct,
    after: t.Struct,
    names: Set[str],
    is_one: Callable[[t.Field, t.Field], bool],
    *,
    with_others: bool = False,
) -> dict[str, str]:
    """Return the new name of each field of ``names`` if only one field can have it.

    ``with_others`` also considers fields that exist in only one of the schemas.
    """
    old_names = [
        n
        for n in before.fields
        if n in names or (with_others and n not in after.fields)
    ]
    new_names = [
        n
        for n in after.fields
        if n in names or (with_others and n not in before.fields)
    ]
    pairs = [
        (source, target)
        for source in old_names
        for target in new_names
        if source != target and is_one(before.fields[source], after.fields[target])
    ]
    sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
    return {
        source: target
        for source, target in pairs
        if sources.count(source) == targets.count(target) == 1
    }


def _circles(pairs: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the cycles of ``pairs``, in which each field has the name of another."""
    visited: set[str] = set()
    for start in pairs:
        circle: dict[str, str] = {}
        name = start
        while name in pairs and name not in visited:
            visited.add(name)
            circle[name] = pairs[name]
            name = pairs[name]
        if circle and name == start:
            yield circle


def _chains(pairs: Mapping[str, str], removed: Set[str]) -> Iterator[dict[str, str]]:
    """Yield the chains of ``pairs``, from a removed name to a new one."""
    for start in removed & pairs.keys():
        chain: dict[str, str] = {}
        name = start
        while name in pairs:
            chain[name] = pairs[name]
            name = pairs[name]
        # A single step is a rename, in which no field has another's name.
        if len(chain) > 1:
            yield chain


def _has_other_type(before: t.Field, after: t.Field) -> bool:
    match before.type, after.type:
        case t.Struct(name), t.Struct(new_name):
            # A struct of the same name is the same struct, whatever has changed in it.
            return name != new_name
        case (t.Struct(), _) | (_, t.Struct()):
            return False
        case _:
            return before.type != after.type


def _overlap(before: t.Field, after: t.Field) -> bool:
    """Return whether two types share some values besides None."""
    return any(
        t.is_subtype(type_before, type_after) or t.is_subtype(type_after, type_before)
        for type_before in t.alternatives(before.type)
        for type_after in t.alternatives(after.type)
    )


def _is_same_field(before: t.Field, after: t.Field) -> bool:
    return (
        before.type == after.type
        and before.has_default == after.has_default
        and is_same_default(before.default, after.default)
    )


def _is_same_type(before: t.Field, after: t.Field) -> bool:
    return before.type == after.type


def is_same_default(a: object, b: object) -> bool:
    """Return whether two defaults are equal, NaN included.

    The numbers 1 and 1.0 are equal, but True is not, although Python says so.
    """
    return (a == b and _has_same_bools(a, b)) or repr(a) == repr(b)


def _has_same_bools(a: object, b: object) -> bool:
    """Return whether two equal values are booleans in the same places."""
    if is_dict(a) and is_dict(b):
        return all(_has_same_bools(item, b[key]) for key, item in a.items())
    if is_items(a) and is_items(b):
        return all(map(_has_same_bools, a, b))
    return isinstance(a, bool) == isinstance(b, bool)


def _is_telling(field: t.Field | FieldRemoved) -> bool:
    """Return whether a default is a value that few fields have."""
    return field.has_default and field.default is not True and bool(field.default)


def find_renames(changes: list[Change]) -> list[Change]:
    """Return ``changes`` with each likely pair of removed and added as one rename.

    Similar names come first; dissimilar names are a pair if their struct has no other
    two fields of that type and default.
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
    """Return ``changes`` with the pairs of the most similar names joined first."""
    removed = [c for c in changes if isinstance(c, removed_kind)]
    added = [c for c in changes if isinstance(c, added_kind)]
    pairs = [
        (likeness(removal, addition), removal, addition)
        for removal in removed
        for addition in added
    ]
    remaining = list(changes)
    # The most similar come first, since a field can have only one new name.
    for score, removal, addition in sorted(pairs, key=lambda pair: -pair[0]):
        if score > _THRESHOLD and removal in remaining and addition in remaining:
            remaining.remove(removal)
            remaining.remove(addition)
            remaining.append(rename(removal, addition))
    return remaining


def _pair_by_default(changes: list[Change]) -> list[Change]:
    """Return ``changes`` with pairs joined by their type and default alone."""
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
    """Return the similarity of the names, 0 if the fields cannot be the same."""
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
