"""Whether files written by an old class load with the new one, and what is missing."""

import os
import sys
from collections.abc import Iterator

from ..path import join
from ..rules import AddDefault, ChangeDefault, DeleteField, RenameField, RewriteRule
from . import types as t
from .change import Change, FieldAdded, FieldRemoved, FieldRenamed, Severity
from .compare import Comparison, compare, holds_struct
from .derive import schema_of
from .storage import load_schema
from .upgrade import upgrade_schema


class SchemaChecker:
    """The changes from a stored schema to a class, and the rules they call for.

    The class's own upgrade rules are applied first (``perform_upgrade``), so what is
    left is what they do not take care of.
    """

    def __init__(
        self, old: t.Struct, cls: type, *, perform_upgrade: bool = True
    ) -> None:
        self.old, self.cls, self.new = old, cls, schema_of(cls)
        before = upgrade_schema(cls, old) if perform_upgrade else old
        self.comparisons = compare(before, self.new)

    @property
    def changes(self) -> list[Change]:
        """Every difference, with whole paths only for the config's own fields."""
        return [c for comparison in self.comparisons for c in comparison.changes]

    @property
    def proposed_fixes(self) -> list[RewriteRule]:
        """The rules that make old files load, in the order to apply them."""
        return [rule for comparison in self.comparisons for rule in fixes(comparison)]

    def severity(self) -> Severity:
        """Return the worst of all changes, INFO if there is none."""
        return max((c.severity for c in self.changes), default=Severity.INFO)

    @property
    def compatible(self) -> bool:
        """Whether old files load as they are."""
        return self.severity() == Severity.INFO

    def report(self) -> str:
        """Return what has changed, the verdict, and what to do about it."""
        return "\n".join(self._lines())

    def print_report(self) -> None:
        """Print the report, in color if this is a terminal."""
        from .terminal import paint

        print(paint(self.report(), sys.stdout))

    def _lines(self) -> Iterator[str]:
        for comparison in self.comparisons:
            yield from _findings(comparison)
        yield "Schema compatible" if self.compatible else "Schema incompatible"
        if not self.compatible:
            yield ""
            yield "Proposed mitigations"
            for comparison in self.comparisons:
                yield from self._mitigations(comparison)

    def _mitigations(self, comparison: Comparison) -> Iterator[str]:
        if _worst(comparison) == Severity.INFO:
            return
        is_nested = bool(comparison.path)
        version = _stored_version(comparison)
        rules = fixes(comparison)
        if rules:
            to = f" to {comparison.new.name}" if is_nested else ""
            yield f"- add upgrade rules{to}:"
            yield f"    {version}: ["
            yield from (f"        {rule!r}," for rule in rules)
            yield "    ],"
        if comparison.new.version is None:
            yield f"- derive {comparison.new.name} from burnish.config.Versioned"
        if _is_same_version(comparison):
            what = f" of {comparison.new.name}" if is_nested else ""
            yield f"- bump version{what} to {version + 1}"
        left = [c for c in comparison.changes if c.severity == Severity.ERROR]
        if left:
            yield "- write rules by hand for:"
            yield from (f"    {join(*change.field)}" for change in left)


def assert_compatible(file: str | os.PathLike[str], cls: type) -> None:
    """Raise AssertionError with a report if old configs would not load any more.

    ``file`` is what ``dump-schema`` wrote; call this from a test of your own.
    """
    checker = SchemaChecker(load_schema(file), cls)
    if not checker.compatible:
        raise AssertionError(f"{os.fspath(file)}\n{checker.report()}")


def fixes(comparison: Comparison) -> list[RewriteRule]:
    """Return the proposed rules of one struct, in an order in which they work.

    Old defaults come first, so that what follows sees them; values are mapped and
    checked where they were; a struct is emptied before it goes, or another field
    takes its name.
    """
    gone = _structs_gone(comparison)
    staged: list[tuple[int, RewriteRule]] = [(6, DeleteField(path)) for path in gone]
    for change in comparison.changes:
        rule = change.proposed_fix()
        covered = isinstance(change, FieldRemoved) and any(
            change.field[: len(path)] == path for path in gone
        )
        if rule is not None and not covered:
            staged.append((_stage(change, rule), rule))
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
            elif here not in taken and not holds_struct(after):
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


def _findings(comparison: Comparison) -> Iterator[str]:
    owner = f"{comparison.new.name}: " if comparison.path else ""
    for change in comparison.changes:
        yield f"{change.severity.name.lower():<5} {owner}{change}"
    if _worst(comparison) > Severity.INFO and _is_same_version(comparison):
        yield f"warn  {owner}schema changed but version identical"


def _worst(comparison: Comparison) -> Severity:
    return max((c.severity for c in comparison.changes), default=Severity.INFO)


def _stored_version(comparison: Comparison) -> int:
    return comparison.old.version or 0


def _is_same_version(comparison: Comparison) -> bool:
    return _stored_version(comparison) == (comparison.new.version or 0)
