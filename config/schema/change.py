"""Differences between two schemas, their severity, and the rule for each."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from ..path import join
from ..rewriting import schema_types as t
from ..rewriting.rewrite_rule import RewriteRule
from ..rules import (
    AddDefault,
    ChangeDefault,
    CheckValue,
    DeleteField,
    MapFieldValue,
    RejectValues,
    RenameField,
)


class Severity(IntEnum):
    """The effect of a change on older files."""

    INFO = 1
    """They load unchanged."""

    WARN = 2
    """They load with the proposed rule."""

    ERROR = 3
    """They may not load; no rule is known."""


class Stage(IntEnum):
    """The order in which proposed rules work together.

    Old defaults come first, so that later rules see them; values are mapped and checked
    at their old paths; a struct is emptied before it is removed, or another field takes
    its name.
    """

    OLD_DEFAULTS = 0
    VALUES = 1
    DELETED = 2
    MOVED_BELOW = 3
    MOVED = 4
    MOVED_ABOVE = 5
    STRUCTS_DELETED = 6
    NEW_FIELDS = 7


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; of severity WARN if a rule is proposed, else ERROR."""

    field: tuple[str, ...]
    """Path in the old schema, or of an added field in the new one; ``*``: any item."""

    @property
    def severity(self) -> Severity:
        """What the change does to older files."""
        return _severity_by_fix(self)

    def proposed_fix(self) -> RewriteRule | None:
        """Return the rule with which older files load, if one is known."""
        return None

    @property
    def stage(self) -> Stage:
        """The position of the proposed rule among those of other changes."""
        return Stage.VALUES

    @abstractmethod
    def diagnostic(self) -> str:
        """Describe the change, without the field's name."""

    def __str__(self) -> str:
        return f"{self.diagnostic()}: {join(*self.field) or '(the config itself)'}"


@dataclass(frozen=True, slots=True)
class Info(Change):
    """A difference that does not affect older files."""

    @property
    def severity(self) -> Severity:
        """Always INFO."""
        return Severity.INFO


@dataclass(frozen=True, slots=True)
class FieldAdded(Change):
    """A field that older files do not have."""

    type: t.Type
    default: object = None
    has_default: bool = False
    is_covered: bool = False
    """Whether files may omit it even so.

    A struct around it has a default, or it is an optional key.
    """

    @property
    def severity(self) -> Severity:
        """INFO if files may omit it."""
        is_optional = self.has_default or self.is_covered
        return Severity.INFO if is_optional else _severity_by_fix(self)

    def proposed_fix(self) -> RewriteRule | None:
        """Return the default that follows from the type."""
        if self.has_default or self.is_covered:
            return None
        if isinstance(self.type, t.Option):
            return AddDefault(self.field, None)
        if isinstance(self.type, t.List):
            return AddDefault(self.field, [])
        return AddDefault(self.field, {}) if isinstance(self.type, t.Dict) else None

    @property
    def stage(self) -> Stage:
        """Always NEW_FIELDS."""
        return Stage.NEW_FIELDS

    def diagnostic(self) -> str:
        """State whether files may omit the field because of its own default."""
        return f"new field with{'' if self.has_default else 'out'} default value"


@dataclass(frozen=True, slots=True)
class FieldRemoved(Change):
    """A field that only older files have."""

    type: t.Type
    default: object = None
    has_default: bool = False

    def proposed_fix(self) -> RewriteRule:
        """Return the rule that drops it."""
        return DeleteField(self.field)

    @property
    def stage(self) -> Stage:
        """Always DELETED."""
        return Stage.DELETED

    def diagnostic(self) -> str:
        """State that no field has this name any more."""
        return "field removed"


@dataclass(frozen=True, slots=True)
class FieldRenamed(Change):
    """A field that was renamed or moved to another struct."""

    new_name: tuple[str, ...]

    def proposed_fix(self) -> RewriteRule:
        """Return the rule that moves it."""
        return RenameField(self.field, self.new_name)

    @property
    def stage(self) -> Stage:
        """By its target: below its own old path, above it, or elsewhere."""
        if self.new_name[: len(self.field)] == self.field:
            return Stage.MOVED_BELOW
        is_above = self.field[: len(self.new_name)] == self.new_name
        return Stage.MOVED_ABOVE if is_above else Stage.MOVED

    def diagnostic(self) -> str:
        """State its new path."""
        return f"field renamed to {join(*self.new_name)}"


@dataclass(frozen=True, slots=True)
class KeyRequired(Change):
    """A key of a dict that older files may lack, and that has no default."""

    def diagnostic(self) -> str:
        """State what the key was and what it is."""
        return "key required now, and optional before: older files may lack it"


@dataclass(frozen=True, slots=True)
class DefaultValueChanged(Change):
    """A changed default: files that omit the field meant the old one."""

    old: object
    new: object

    def proposed_fix(self) -> RewriteRule:
        """Return the rule that keeps the old default in older files."""
        return ChangeDefault(self.field, self.old, self.new)

    @property
    def stage(self) -> Stage:
        """Always OLD_DEFAULTS."""
        return Stage.OLD_DEFAULTS

    def diagnostic(self) -> str:
        """State the old default and the new one."""
        return f"default value changed from {self.old!r} to {self.new!r}"


@dataclass(frozen=True, slots=True)
class DefaultValueRemoved(Change):
    """A removed default: files that omit the field now lack a value."""

    old: object

    def proposed_fix(self) -> RewriteRule:
        """Return the rule that writes the old default into older files."""
        return AddDefault(self.field, self.old)

    @property
    def stage(self) -> Stage:
        """Always OLD_DEFAULTS."""
        return Stage.OLD_DEFAULTS

    def diagnostic(self) -> str:
        """State the value that files meant by omitting the field."""
        return f"default value removed: {self.old!r}"


@dataclass(frozen=True, slots=True)
class TypeChanged(Change):
    """A changed type."""

    old: t.Type
    new: t.Type

    @property
    def severity(self) -> Severity:
        """INFO if every old value is also a new one."""
        is_wider = t.is_subtype(self.old, self.new)
        return Severity.INFO if is_wider else _severity_by_fix(self)

    def proposed_fix(self) -> RewriteRule | None:
        """Return the mapping or the check that converts old values."""
        if t.is_subtype(self.old, self.new):
            return None
        match self.old, self.new:
            case old, t.List(inner) if t.is_subtype(old, inner) and not _may_stand(
                old, self.new
            ):
                return _map(self.field, lambda x: [x], "lambda x: [x]")
            case t.Primitive("float"), t.Primitive("int"):
                return _map(
                    self.field,
                    lambda x: int(x) if isinstance(x, float) else x,
                    "lambda x: int(x) if isinstance(x, float) else x",
                )
            case t.Primitive("str" | "int" | "bool") | t.Enum(), t.Literal(values):
                return CheckValue(self.field, values)
            case _:
                return None

    def diagnostic(self) -> str:
        """State the old type and the new one."""
        return f"type changed from {self.old} to {self.new}"


def _may_stand(kind: t.Type, new_type: t.Type) -> bool:
    """Return whether some value of an old type may be valid for the new one."""
    match kind:
        case t.Option(inner):
            return _may_stand(inner, new_type)
        case t.Union(kinds):
            return any(_may_stand(member, new_type) for member in kinds)
        case t.Primitive("Any" | "object"):
            return True
        case _:
            return t.is_subtype(kind, new_type)


@dataclass(frozen=True, slots=True)
class NameInDoubt(Change):
    """A changed type, possibly because another field has taken the name."""

    other: tuple[str, ...]
    """The field that has this one's old type now."""

    old: t.Type
    new: t.Type

    def diagnostic(self) -> str:
        """State both interpretations, and what each of them needs."""
        name, other_name = self.field[-1], self.other[-1]
        return (
            f"type changed from {self.old} to {self.new}, and {other_name} is "
            f"{self.old} now: if the names were swapped, use "
            f"RenameField({name!r}, {other_name!r}) by way of a third name, else a "
            "MapFieldValue in place"
        )


@dataclass(frozen=True, slots=True)
class EnumVariantAdded(Info):
    """An enum's member that older files do not use."""

    enum_name: str
    variant: str
    value: object

    def diagnostic(self) -> str:
        """Name the member that files may use from now on."""
        return f"variant {self.variant} of {self.enum_name} added"


@dataclass(frozen=True, slots=True)
class EnumVariantRenamed(Info):
    """A renamed member of an enum; files hold its value, which is unchanged."""

    enum_name: str
    old_variant: str
    new_variant: str

    def diagnostic(self) -> str:
        """State the member's old name and its new one."""
        before, after = self.old_variant, self.new_variant
        return f"variant {before} of {self.enum_name} renamed to {after}"


@dataclass(frozen=True, slots=True)
class EnumVariantRemoved(Change):
    """A removed member of an enum, which older files may use."""

    enum_name: str
    variant: str
    value: object

    def diagnostic(self) -> str:
        """Name the member that files may no longer use."""
        return f"variant {self.variant} of {self.enum_name} removed"


@dataclass(frozen=True, slots=True)
class EnumVariantValueChanged(Change):
    """A member of an enum whose value, as written in files, has changed."""

    enum_name: str
    variant: str
    old_value: object
    new_value: object

    def proposed_fix(self) -> RewriteRule:
        """Return the mapping from the old value to the new one."""
        before, after = self.old_value, self.new_value
        source = f"lambda x: x if x != {before!r} else {after!r}"
        return _map(self.field, lambda x: x if x != before else after, source)

    def diagnostic(self) -> str:
        """State the member's old value in files and its new one."""
        name = f"{self.enum_name}.{self.variant}"
        return f"value of {name} changed from {self.old_value!r} to {self.new_value!r}"


@dataclass(frozen=True, slots=True)
class LiteralValuesAdded(Info):
    """Allowed values that older files do not have."""

    values: tuple[object, ...]

    def diagnostic(self) -> str:
        """List the values that files may have from now on."""
        return f"allowed values added: {', '.join(map(repr, self.values))}"


@dataclass(frozen=True, slots=True)
class LiteralValuesRemoved(Change):
    """Removed values that older files may have."""

    values: tuple[object, ...]

    def proposed_fix(self) -> RewriteRule:
        """Return the rule that refuses exactly these."""
        return RejectValues(self.field, self.values)

    def diagnostic(self) -> str:
        """List the values that files may no longer have."""
        return f"allowed values removed: {', '.join(map(repr, self.values))}"


@dataclass(frozen=True, slots=True)
class ExtraForbidden(Change):
    """Unknown fields were allowed, and are refused now."""

    def diagnostic(self) -> str:
        """State what happens to files with such fields."""
        return "unknown fields were allowed and are now refused"


@dataclass(frozen=True, slots=True)
class Harmless(Info):
    """A change that does not affect the old files that were tried."""

    change: Change

    def diagnostic(self) -> str:
        """Describe the change itself; the trials concern only its harm."""
        return self.change.diagnostic()


@dataclass(frozen=True, slots=True)
class ByHand(Change):
    """A change whose usual rule did not help the old files that were tried."""

    change: Change
    message: str

    def diagnostic(self) -> str:
        """Describe the change, and how a file with its rule applied has failed."""
        return f"{self.change.diagnostic()} (no rule fixes it: {self.message})"


@dataclass(frozen=True, slots=True)
class Misread(Change):
    """Old files that were refused, or read differently, for an unknown reason."""

    message: str

    def diagnostic(self) -> str:
        """State how reading failed, since no change explains it."""
        return f"older files are no longer read as they were meant ({self.message})"


def _severity_by_fix(change: Change) -> Severity:
    return Severity.WARN if change.proposed_fix() is not None else Severity.ERROR


def _map(
    field: tuple[str, ...], map_fn: Callable[[object], object], source: str
) -> RewriteRule:
    return MapFieldValue(field, map_fn, rendered=source)
