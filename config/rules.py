"""The rules for fields: renamed, deleted, added, and with changed values.

A rule's fields are paths, ``"opt.lr"`` or ``("opt", "lr")``; ``*`` matches any item of
a list or a dict, ``**`` any depth. ``apply`` changes a raw tree in place, and
``rename`` maps the path of one flat entry, to None if the entry is deleted.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias

from .classes.fields import is_struct_value
from .encode import encode, to_plain
from .errors import ConfigError, Problem
from .path import join, parts
from .patterns import fill_wildcards, n_wildcards, wildcard_values
from .process.interrupts import raise_of_signal
from .rewriting import schema_edit, tree_edit
from .rewriting import schema_types as t
from .rewriting.rewrite_rule import Entry, RewriteRule
from .short_text import short_repr
from .tree import is_dict, is_items

Path: TypeAlias = str | Sequence[str]


@dataclass(frozen=True, slots=True, repr=False)
class RenameField(RewriteRule):
    """Move a field, with its content, to another name, in or out of structs too.

    The wildcards of ``new_field`` take the values of those of ``old_field``.
    """

    tells_every_move: ClassVar[bool] = True
    old_field: Path
    new_field: Path

    def __post_init__(self) -> None:
        _normalize(self, "old_field", "new_field")
        if n_wildcards(self.old_field) != n_wildcards(self.new_field):
            raise ValueError(f"{self!r}: both fields need equally many wildcards")

    def apply(self, tree: object) -> None:
        """Move the value, if the file has it."""
        old, new = tuple(self.old_field), tuple(self.new_field)
        if new[: len(old)] == old:
            tree_edit.wrap_values(tree, old, new[len(old) :])
            return
        tree_edit.move_values(tree, old, new)
        if old[: len(new)] == new:
            # The field takes the place of its struct; without the field, an empty one
            # is left.
            for place, _ in reversed(tree_edit.find_sites(tree, new)):
                if place.value == {}:
                    place.remove()

    def apply_to_schema(self, schema: t.Struct) -> None:
        """Move the field, and drop structs that become empty."""
        for owner, name, bound in schema_edit.find_fields(schema, self.old_field):
            schema_edit.move(schema, owner, name, fill_wildcards(self.new_field, bound))
        schema_edit.drop_empty(schema, self.old_field)

    def rename(self, path: str) -> str | None:
        """Return ``path`` with the renamed part replaced."""
        names = tuple(path.split("."))
        for n_parts in range(1, len(names) + 1):
            bound = wildcard_values(self.old_field, names[:n_parts])
            if bound is not None:
                return join(*fill_wildcards(self.new_field, bound), *names[n_parts:])
        return path


@dataclass(frozen=True, slots=True, repr=False)
class DeleteField(RewriteRule):
    """Drop a field that no longer exists."""

    tells_every_move: ClassVar[bool] = True
    field: Path

    def __post_init__(self) -> None:
        _normalize(self, "field")

    def apply(self, tree: object) -> None:
        """Drop the value, if the file has it."""
        # From the end, so that the indices of earlier list items stay valid.
        for place, _ in reversed(tree_edit.find_sites(tree, self.field)):
            place.remove()

    def apply_to_schema(self, schema: t.Struct) -> None:
        """Drop the field, and structs that become empty."""
        for owner, name, _ in schema_edit.find_fields(schema, self.field):
            del owner.fields[name]
        schema_edit.drop_empty(schema, self.field)

    def rename(self, path: str) -> str | None:
        """Return None for the field and its content."""
        names = tuple(path.split("."))
        lengths = range(1, len(names) + 1)
        is_deleted = any(
            wildcard_values(self.field, names[:n]) is not None for n in lengths
        )
        return None if is_deleted else path


@dataclass(frozen=True, slots=True, repr=False)
class AddDefault(RewriteRule):
    """Give a new field a value in files that were written before it existed."""

    tells_every_move: ClassVar[bool] = True
    supplies_default: ClassVar[bool] = True
    field: Path
    default: Any

    def __post_init__(self) -> None:
        _normalize(self, "field")

    def apply(self, tree: object) -> None:
        """Insert the default where the field is absent."""
        tree_edit.supply_default(tree, self.field, _as_data(self.default))

    def apply_to_schema(self, schema: t.Struct) -> None:
        """Make the field required: every file has a value now."""
        schema_edit.supply_field(schema, tuple(self.field))


@dataclass(frozen=True, slots=True, repr=False)
class ChangeDefault(RewriteRule):
    """Keep the old default in files that were written while it was in effect."""

    tells_every_move: ClassVar[bool] = True
    supplies_default: ClassVar[bool] = True
    field: Path
    old_default: Any
    new_default: Any = None

    def __post_init__(self) -> None:
        _normalize(self, "field")

    def apply(self, tree: object) -> None:
        """Insert the old default where the field is absent."""
        tree_edit.supply_default(tree, self.field, _as_data(self.old_default))

    def apply_to_schema(self, schema: t.Struct) -> None:
        """Give the field its new default."""
        default = to_plain(encode(self.new_default))
        schema_edit.change(
            schema, self.field, lambda f: replace(f, default=default, has_default=True)
        )


@dataclass(frozen=True, slots=True, repr=False)
class MapFieldValue(RewriteRule):
    """Compute the new value of a field from the old one."""

    tells_every_move: ClassVar[bool] = True
    field: Path
    map_fn: Callable[[Any], Any]
    rendered: str = ""
    """The function as source text, for reports."""

    def __post_init__(self) -> None:
        _normalize(self, "field")

    def apply(self, tree: object) -> None:
        """Replace the value, if the file has it."""
        for place, _ in tree_edit.find_sites(tree, self.field):
            try:
                place.set(self.map_fn(place.value))
            except Exception as error:  # a user's function may raise anything
                raise_of_signal(error)
                message = (
                    f"{short_repr(place.value, 40)} could not be mapped by {self}: "
                    f"{error}"
                )
                raise _problem(place.path, message, "rule") from error

    @property
    def computed_field(self) -> tuple[str, ...]:
        """The field that is mapped."""
        return tuple(self.field)

    def apply_to_schema(self, schema: t.Struct) -> None:
        """Map the values that the field's type lists; others are unknown."""
        schema_edit.change(schema, self.field, self._map_field)

    def apply_to_entries(
        self,
        entries: Mapping[str, Entry],
        derive: Callable[[Entry, Callable[[Any], Any]], Entry],
    ) -> dict[str, Entry]:
        """Compute the values of the entries that the field names."""
        return {
            path: entry
            if wildcard_values(self.computed_field, path.split(".")) is None
            else derive(entry, self.map_fn)
            for path, entry in entries.items()
        }

    def _map_field(self, field: t.Field) -> t.Field:
        """Return the field after the mapping, as far as its values are known."""
        default = self._try(field.default) if field.has_default else None
        match field.type:
            case t.Enum(name, variants):
                values = {key: self._try(value) for key, value in variants.items()}
                return replace(field, type=t.Enum(name, values), default=default)
            case t.Literal(allowed):
                literal = t.Literal(tuple(self._try(value) for value in allowed))
                return replace(field, type=literal, default=default)
            case _:
                return replace(field, type=schema_edit.SUPPLIED)

    def _try(self, value: object) -> object:
        try:
            return self.map_fn(value)
        except Exception as error:  # users' code, on a value that no file may have
            raise_of_signal(error)
            return value

    def __repr__(self) -> str:
        name = getattr(self.map_fn, "__qualname__", repr(self.map_fn))
        return f"MapFieldValue(field={self.field!r}, map_fn={self.rendered or name})"


@dataclass(frozen=True, slots=True, repr=False)
class CheckValue(RewriteRule):
    """Accept a field's old value only if it is still among the allowed ones."""

    tells_every_move: ClassVar[bool] = True
    field: Path
    allowed_values: Iterable[Any]

    def __post_init__(self) -> None:
        _normalize(self, "field")
        _freeze(self, "allowed_values")

    def apply(self, tree: object) -> None:
        """Raise ConfigError if the file has a value that is no longer allowed."""
        allowed = tuple(self.allowed_values)
        for place, _ in tree_edit.find_sites(tree, self.field):
            if not _is_among(place.value, allowed):
                message = (
                    f"{short_repr(place.value)} is no longer allowed; allowed: "
                    f"{allowed}"
                )
                raise _problem(place.path, message, "rule")

    def apply_to_schema(self, schema: t.Struct) -> None:
        """Narrow the field's type to the allowed values."""
        allowed = t.Literal(tuple(self.allowed_values))
        schema_edit.change(
            schema, self.field, lambda f: replace(f, type=_as_option(f.type, allowed))
        )


@dataclass(frozen=True, slots=True, repr=False)
class RejectValues(RewriteRule):
    """Refuse values of a field that are no longer allowed, and keep the others."""

    tells_every_move: ClassVar[bool] = True
    field: Path
    disallowed_values: Iterable[Any]

    def __post_init__(self) -> None:
        _normalize(self, "field")
        _freeze(self, "disallowed_values")

    def apply(self, tree: object) -> None:
        """Raise ConfigError if the file has one of the values."""
        rejected = tuple(self.disallowed_values)
        for place, _ in tree_edit.find_sites(tree, self.field):
            if _is_among(place.value, rejected):
                problem = f"{short_repr(place.value)} is no longer allowed"
                message = f"{problem}; not allowed: {rejected}"
                raise _problem(place.path, message, "rule")

    def apply_to_schema(self, schema: t.Struct) -> None:
        """Remove the values from the field's type."""
        rejected = tuple(self.disallowed_values)
        schema_edit.change(
            schema, self.field, lambda f: replace(f, type=_without(f.type, rejected))
        )


def _as_option(kind: t.Type, narrow: t.Type) -> t.Type:
    """Return ``narrow``, with None if that was a value of ``kind``."""
    return t.Option(narrow) if isinstance(kind, t.Option) else narrow


def _without(kind: t.Type, rejected: tuple[object, ...]) -> t.Type:
    match kind:
        case t.Option(type=optional):
            return t.Option(_without(optional, rejected))
        case t.Literal(values):
            return t.Literal(tuple(v for v in values if v not in rejected))
        case t.Enum(name, variants):
            allowed = {key: v for key, v in variants.items() if v not in rejected}
            return t.Enum(name, allowed)
        case _:
            return kind


def _is_among(value: object, values: tuple[object, ...]) -> bool:
    """Return whether ``value`` is in ``values``, where 1 and 0 are not booleans."""
    return any(
        isinstance(value, bool) is isinstance(other_value, bool)
        and value == other_value
        for other_value in values
    )


def _as_data(default: object) -> object:
    """Return a default as a file's raw tree has it: structs as their fields."""
    if not _has_struct(default):
        return default
    return encode(default)


def _has_struct(value: object) -> bool:
    if is_dict(value):
        return any(map(_has_struct, value.values()))
    if is_items(value):
        return any(map(_has_struct, value))
    return is_struct_value(value)


def _normalize(rule: RewriteRule, *names: str) -> None:
    """Store paths as tuples of parts: ``[]`` becomes ``*``, and ``?`` is dropped."""
    for name in names:
        path: Path = getattr(rule, name)
        if not isinstance(path, str | Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            raise TypeError(
                f"{type(rule).__name__}: {name} must be a path, as 'model.lr', got "
                f"{short_repr(path)}"
            )
        names_of = parts(path.replace("[]", ".*")) if isinstance(path, str) else path
        cleaned = tuple("*" if p == "[]" else str(p) for p in names_of if p != "?")
        if not cleaned:
            raise ValueError(f"{type(rule).__name__}: {name} does not name a field")
        object.__setattr__(rule, name, cleaned)


def _freeze(rule: RewriteRule, name: str) -> None:
    values: Any = getattr(rule, name)
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(
            f"{type(rule).__name__}: {name} must be a list of values, got "
            f"{short_repr(values)}"
        )
    if isinstance(values, set | frozenset):
        values = sorted(values, key=repr)
    object.__setattr__(rule, name, tuple(values))


def _problem(path: str, message: str, kind: str = "") -> ConfigError:
    return ConfigError("", [Problem(path, message, kind)])
