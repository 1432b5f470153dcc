"""Whether files written by an old class load with the new one, and what is missing."""

import os
import sys
from collections.abc import Iterator

from ..arguments import check_flag
from ..path import join
from ..printable import printable_lines
from ..rewriting import schema_types as t
from ..rewriting.rewrite_rule import RewriteRule
from .change import Change, Severity
from .compare import StructComparison, compare
from .derive import limits_values, own_types_in, schema_of
from .fixes import fixes
from .judging import judge
from .storage import load_schema
from .terminal import paint
from .upgrade import upgrade_schema

NOT_JUDGED = (
    "by names, types and defaults: bounds, patterns, lengths and validators "
    "of values are not checked"
)
"""The limits of a verdict for a class that has bounds or validators."""

OWN_DATA = (
    "the schema cannot tell whether {name} still reads everything that it "
    "has written; only defaults were tested"
)
"""The limits of a verdict for fields of user-defined types."""


class SchemaChecker:
    """The changes from a stored schema to a class, and the rules they need.

    The class's own upgrade rules are applied first (``perform_upgrade``), so that only
    changes that they do not handle are listed. Sample files of every kind are then
    tried: changes that do not affect them are harmless, and rules that do not help are
    not proposed. Values are judged by their types, not by bounds or validators.
    """

    def __init__(
        self, old: t.Struct, cls: type, *, perform_upgrade: bool = True
    ) -> None:
        check_flag("perform_upgrade", perform_upgrade)
        self.old, self.cls, self.new = old, cls, schema_of(cls)
        if perform_upgrade:
            before = upgrade_schema(cls, old)
            self.comparisons = judge(cls, old, compare(before, self.new))
        else:
            self.comparisons = compare(old, self.new)

    @property
    def changes(self) -> list[Change]:
        """Every difference, with whole paths only for the config's own fields."""
        return [c for comparison in self.comparisons for c in comparison.changes]

    @property
    def proposed_fixes(self) -> list[RewriteRule]:
        """The rules that make old files load, in the order to apply them."""
        return [rule for comparison in self.comparisons for rule in fixes(comparison)]

    def severity(self) -> Severity:
        """Return the worst severity of all changes, INFO if there are none."""
        return max((c.severity for c in self.changes), default=Severity.INFO)

    @property
    def compatible(self) -> bool:
        """Whether old files load unchanged."""
        return self.severity() == Severity.INFO

    def report(self) -> str:
        """Return the changes, the verdict, and what to do about them."""
        return "\n".join(self._lines())

    def print_report(self) -> None:
        """Print the report, in color if the output is a terminal."""
        print(paint(printable_lines(self.report()), sys.stdout))

    def _lines(self) -> Iterator[str]:
        for comparison in self.comparisons:
            yield from _findings(comparison)
        if self.compatible:
            yield "Schema compatible"
            if limits_values(self.cls):
                yield f"({NOT_JUDGED})"
            for path, name in own_types_in(self.cls).items():
                yield f"({path}: {OWN_DATA.format(name=name)})"
        else:
            yield "Schema incompatible"
            yield ""
            yield "Proposed mitigations"
            for comparison in self.comparisons:
                yield from self._mitigations(comparison)

    def _mitigations(self, comparison: StructComparison) -> Iterator[str]:
        if _worst(comparison) == Severity.INFO:
            return
        is_nested = bool(comparison.path)
        version = _step(comparison)
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
            owner = f" of {comparison.new.name}" if is_nested else ""
            yield f"- bump version{owner} to {version + 1}"
        by_hand = [c for c in comparison.changes if c.severity == Severity.ERROR]
        if by_hand:
            yield "- write rules by hand for:"
            yield from (f"    {join(*change.field)}" for change in by_hand)


def assert_compatible(file: str | os.PathLike[str], cls: type) -> None:
    """Raise AssertionError with a report if old configs would no longer load.

    ``file`` was written by ``dump-schema``; call this from one of your tests.
    """
    checker = SchemaChecker(load_schema(file), cls)
    if not checker.compatible:
        raise AssertionError(f"{os.fspath(file)}\n{checker.report()}")


def _findings(comparison: StructComparison) -> Iterator[str]:
    owner = f"{comparison.new.name}: " if comparison.path else ""
    for change in comparison.changes:
        yield f"{change.severity.name.lower():<5} {owner}{change}"
    if _worst(comparison) > Severity.INFO and _is_same_version(comparison):
        yield f"warn  {owner}schema changed but version identical"


def _worst(comparison: StructComparison) -> Severity:
    return max((c.severity for c in comparison.changes), default=Severity.INFO)


def _step(comparison: StructComparison) -> int:
    """Return the version that the proposed rules start from."""
    stored_version, now = _stored_version(comparison), comparison.new.version or 0
    return max(stored_version, now - 1)


def _stored_version(comparison: StructComparison) -> int:
    return comparison.old.version or 0


def _is_same_version(comparison: StructComparison) -> bool:
    return _stored_version(comparison) == (comparison.new.version or 0)
