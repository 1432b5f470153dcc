"""The effect of schema changes, decided by trials: harmless, fixed, or neither."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..classes.declared_types import is_sequence, item_type, members
from ..classes.fields import fields_of, is_mapping, is_struct
from ..path import item_index
from ..patterns import wildcard_values
from ..rewriting import schema_types as t
from ..rewriting.rewrite_rule import RewriteRule
from ..versioned import is_versioned, upgrade_rules_of
from .change import (
    ByHand,
    Change,
    EnumVariantValueChanged,
    ExtraForbidden,
    FieldAdded,
    FieldRemoved,
    FieldRenamed,
    Harmless,
    Misread,
    Severity,
    TypeChanged,
)
from .compare import StructComparison
from .derive import schema_of
from .fixes import fixes
from .meaning import Path
from .samples import is_known, samples_of
from .trial import Finding, Moves, Trial

_N_ROUNDS = 5
"""Maximal number of trials: rules that do not help are dropped, helpful ones added."""


def judge(
    cls: type, old_schema: t.Struct, comparisons: list[StructComparison]
) -> list[StructComparison]:
    """Return ``comparisons`` with the severity of each change that trials show.

    If no file can be generated, because a type is unknown, changes are not modified.
    """
    if not samples_of(old_schema):
        return comparisons
    findings = _trial(cls, old_schema, comparisons, with_fixes=False)
    judged = [_mark_harmless(comparison, findings) for comparison in comparisons]
    judged = _add_misread(judged, _unexplained_findings(judged, findings))
    # A rule that is dropped may reveal the effect of another, so the trial is repeated.
    for _ in range(_N_ROUNDS):
        findings = _trial(cls, old_schema, judged, with_fixes=True)
        remaining = [f for f in findings if not _is_known_error(judged, f)]
        if not remaining:
            return judged
        restored = [_restore(comparison, remaining) for comparison in judged]
        if restored != judged:
            # Files that failed because of another change show this one only now.
            judged = restored
            continue
        judged = [_mark_unhelpful(comparison, remaining) for comparison in judged]
        judged = _add_misread(judged, _unexplained_findings(judged, remaining))
    return judged


def _trial(
    cls: type,
    old_schema: t.Struct,
    comparisons: Sequence[StructComparison],
    *,
    with_fixes: bool,
) -> list[Finding]:
    added: dict[type, list[RewriteRule]] = {}
    moves: list[Moves] = []
    for comparison in comparisons:
        owner = _class_at(cls, comparison.path, comparison.new.name)
        proposed = fixes(comparison) if with_fixes else []
        if owner is not None and proposed:
            added.setdefault(owner, proposed)
        rules = [*_rules(owner, comparison)]
        moves.append(Moves(comparison.old.name, comparison.path, rules, proposed))
    return Trial(cls, old_schema, schema_of(cls), moves, added).findings()


def _rules(owner: type | None, comparison: StructComparison) -> Iterator[RewriteRule]:
    """Yield the rules that the class has for files of the stored version."""
    if owner is not None and is_versioned(owner):
        rules = upgrade_rules_of(owner)
        for step in range(comparison.old.version or 0, owner.version()):
            yield from rules.get(step, ())


def _class_at(annotation: object, path: Path, name: str) -> type | None:
    """Return the class called ``name`` at ``path``, where ``*`` matches any item."""
    for member in members(annotation):
        if is_struct(member) and not path and member.__name__ == name:
            return member
        below: object = None
        if is_struct(member) and path and path[0] in fields_of(member):
            below = fields_of(member)[path[0]].annotation
        elif path and (is_mapping(member) or is_sequence(member)):
            below = item_type(member, item_index(path[0]) or 0)
        match = None if below is None else _class_at(below, path[1:], name)
        if match is not None:
            return match
    return None


def _mark_harmless(
    comparison: StructComparison, findings: list[Finding]
) -> StructComparison:
    """Return the changes; those that affect no old file are harmless."""

    def judge_change(change: Change) -> Change:
        is_seen = any(_concerns(comparison.path, change, f) for f in findings)
        if change.severity == Severity.INFO or is_seen or not _is_tried(change):
            return change
        return Harmless(change.field, change)

    return replace(comparison, changes=[judge_change(c) for c in comparison.changes])


def _restore(comparison: StructComparison, findings: list[Finding]) -> StructComparison:
    """Return the changes; those that affect old files are no longer harmless."""
    changes = [
        change.change
        if isinstance(change, Harmless)
        and any(_concerns(comparison.path, change, f) for f in findings)
        else change
        for change in comparison.changes
    ]
    return replace(comparison, changes=changes)


def _mark_unhelpful(
    comparison: StructComparison, findings: list[Finding]
) -> StructComparison:
    """Return the changes; those whose rules did not help are to be fixed by hand."""

    def judge_change(change: Change) -> Change:
        finding = next(
            (f for f in findings if _concerns(comparison.path, change, f)), None
        )
        if change.severity != Severity.WARN or finding is None:
            return change
        return ByHand(change.field, change, finding.message)

    return replace(comparison, changes=[judge_change(c) for c in comparison.changes])


def _unexplained_findings(
    comparisons: list[StructComparison], findings: list[Finding]
) -> list[Finding]:
    return [
        finding
        for finding in findings
        if not any(
            c.severity > Severity.INFO and _concerns(comparison.path, c, finding)
            for comparison in comparisons
            for c in comparison.changes
        )
    ]


def _is_known_error(comparisons: list[StructComparison], finding: Finding) -> bool:
    return any(
        c.severity == Severity.ERROR and _concerns(comparison.path, c, finding)
        for comparison in comparisons
        for c in comparison.changes
    )


def _add_misread(
    comparisons: list[StructComparison], findings: list[Finding]
) -> list[StructComparison]:
    """Return the comparisons; findings without a change are added to the config's."""
    root, *nested = comparisons
    changes = [*root.changes, *(Misread(f.path, f.message) for f in findings)]
    return [replace(root, changes=changes), *nested]


def _concerns(prefix: Path, change: Change, finding: Finding) -> bool:
    """Return whether ``finding`` is at, above or below the path of ``change``."""
    paths = [change.field]
    if isinstance(change, FieldRenamed):
        paths.append(change.new_name)
    return any(_meets((*prefix, *path), finding.path) for path in paths)


def _meets(pattern: Path, path: Path) -> bool:
    # A finding above the change is in its container, one below is in the changed value.
    n_parts = min(len(pattern), len(path))
    return wildcard_values(pattern[:n_parts], path[:n_parts]) is not None


def _is_tried(change: Change) -> bool:
    """Return whether sample files show every effect of ``change``.

    Extra fields may have any value, and a member's old value may be a name by accident.
    """
    if isinstance(change, EnumVariantValueChanged | ExtraForbidden):
        return False
    if isinstance(change, FieldAdded | FieldRemoved):
        return is_known(change.type)
    return is_known(change.old) if isinstance(change, TypeChanged) else True
