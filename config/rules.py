"""Rewrite rules: how what was saved by an older version reads in the next one.

A rule's fields are paths, ``"opt.lr"`` or ``("opt", "lr")``; ``*`` stands for any item
of a list or a dict, ``**`` for any depth.  ``apply`` changes a raw tree in place, and
``rename`` maps the path of one flat entry, to None where the entry is deleted.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from . import site
from .errors import ConfigError, Problem
from .path import bind, fill, join, n_wildcards, parts
from .shown import shown
from .tree import is_dict, is_items

Path: TypeAlias = str | Sequence[str]


class RewriteRule:
    """One step from a version to the next; every rule may be applied to any tree.

    A rule of a user's own overrides ``apply`` for values, ``rename`` for the names of
    tensors and of a schema's fields, or both.
    """

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    def apply(self, tree: Any) -> None:
        """Change ``tree`` from the old version to the new one, in place.

        A tree that the rule does not concern stays as it is.  Raises ConfigError
        for one that cannot be carried over.
        """

    def rename(self, path: str) -> str | None:
        """Return the new path of the entry at ``path``, None if it is deleted."""
        return path

    def __repr__(self) -> str:
        values = [(name, getattr(self, name)) for name in self.__match_args__]
        shown = ", ".join(f"{name}={as_source(value)}" for name, value in values)
        return f"{type(self).__name__}({shown})"


@dataclass(frozen=True, slots=True, repr=False)
class RenameField(RewriteRule):
    """Move a field, and all below it, to another name, in or out of structs too.

    The wildcards of ``new_field`` stand for what those of ``old_field`` found.
    """

    old_field: Path
    new_field: Path

    def __post_init__(self) -> None:
        _normalize(self, "old_field", "new_field")
        if n_wildcards(self.old_field) != n_wildcards(self.new_field):
            raise ValueError(f"{self!r}: both fields need the same wildcards")

    def apply(self, tree: Any) -> None:
        """Move the value, if the file has it."""
        for place, found in site.find(tree, self.old_field):
            value, weak = place.value, place.is_weak
            place.remove()
            site.create(tree, fill(self.new_field, found), value, weak=weak)
        if tuple(self.old_field[: len(self.new_field)]) == self.new_field:
            # The field takes its struct's place: without it, an empty one is left.
            for place, _ in reversed(site.find(tree, self.new_field)):
                if place.value == {}:
                    place.remove()

    def rename(self, path: str) -> str | None:
        """Return ``path`` with the renamed part replaced."""
        names = tuple(path.split("."))
        for n_parts in range(1, len(names) + 1):
            found = bind(self.old_field, names[:n_parts])
            if found is not None:
                return join(*fill(self.new_field, found), *names[n_parts:])
        return path


@dataclass(frozen=True, slots=True, repr=False)
class DeleteField(RewriteRule):
    """Drop a field that is no longer there."""

    field: Path

    def __post_init__(self) -> None:
        _normalize(self, "field")

    def apply(self, tree: Any) -> None:
        """Drop the value, if the file has it."""
        for place, _ in reversed(site.find(tree, self.field)):
            place.remove()

    def rename(self, path: str) -> str | None:
        """Return None for the field and all below it."""
        names = tuple(path.split("."))
        lengths = range(1, len(names) + 1)
        gone = any(bind(self.field, names[:n]) is not None for n in lengths)
        return None if gone else path


@dataclass(frozen=True, slots=True, repr=False)
class AddDefault(RewriteRule):
    """Give a new field a value in files that were written before it was there."""

    field: Path
    default: Any

    def __post_init__(self) -> None:
        _normalize(self, "field")

    def apply(self, tree: Any) -> None:
        """Insert the default where the field is absent."""
        site.supply(tree, self.field, _as_data(self.default))


@dataclass(frozen=True, slots=True, repr=False)
class ChangeDefault(RewriteRule):
    """Keep the old default in files that were written while it was the default."""

    field: Path
    old_default: Any
    new_default: Any = None

    def __post_init__(self) -> None:
        _normalize(self, "field")

    def apply(self, tree: Any) -> None:
        """Insert the old default where the field is absent."""
        site.supply(tree, self.field, _as_data(self.old_default))


@dataclass(frozen=True, slots=True, repr=False)
class MapFieldValue(RewriteRule):
    """Compute the new value of a field from the old one."""

    field: Path
    map_fn: Callable[[Any], Any]
    rendered: str = ""
    """The function as source text, for reports."""

    def __post_init__(self) -> None:
        _normalize(self, "field")

    def apply(self, tree: Any) -> None:
        """Replace the value, if the file has it."""
        for place, _ in site.find(tree, self.field):
            try:
                place.set(self.map_fn(place.value))
            except Exception as failed:  # a user's function may raise anything
                message = (
                    f"{shown(place.value, 40)} could not be mapped by {self}: {failed}"
                )
                raise _problem(place.path, message, "rule") from failed

    def __repr__(self) -> str:
        name = getattr(self.map_fn, "__qualname__", repr(self.map_fn))
        return f"MapFieldValue(field={self.field!r}, map_fn={self.rendered or name})"


@dataclass(frozen=True, slots=True, repr=False)
class CheckValue(RewriteRule):
    """Accept a field's old value only if it is still among the allowed ones."""

    field: Path
    allowed_values: Iterable[Any]

    def __post_init__(self) -> None:
        _normalize(self, "field")
        _freeze(self, "allowed_values")

    def apply(self, tree: Any) -> None:
        """Raise ConfigError if the file has a value that is not allowed any more."""
        allowed = tuple(self.allowed_values)
        for place, _ in site.find(tree, self.field):
            if not _is_among(place.value, allowed):
                message = (
                    f"{shown(place.value)} is no longer allowed; allowed: {allowed}"
                )
                raise _problem(place.path, message, "rule")


@dataclass(frozen=True, slots=True, repr=False)
class RejectValues(RewriteRule):
    """Refuse values of a field that are not allowed any more, and keep the others."""

    field: Path
    disallowed_values: Iterable[Any]

    def __post_init__(self) -> None:
        _normalize(self, "field")
        _freeze(self, "disallowed_values")

    def apply(self, tree: Any) -> None:
        """Raise ConfigError if the file has one of the values."""
        rejected = tuple(self.disallowed_values)
        for place, _ in site.find(tree, self.field):
            if _is_among(place.value, rejected):
                found = f"{shown(place.value)} is no longer allowed"
                message = f"{found}; not allowed: {rejected}"
                raise _problem(place.path, message, "rule")


def _is_among(value: Any, values: tuple[Any, ...]) -> bool:
    """Return whether ``value`` is one of ``values``; 1 and 0 are not True and False."""
    return any(
        isinstance(value, bool) is isinstance(one, bool) and value == one
        for one in values
    )


def as_source(value: Any) -> str:
    """Return ``value`` as Python source, infinities and NaN too."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if is_dict(value):
        items = [f"{as_source(k)}: {as_source(v)}" for k, v in value.items()]
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_source, value))}]"
    return repr(value)


def _as_data(default: Any) -> Any:
    """Return a default as the raw tree of a file has it: structs as their fields."""
    if not _has_struct(default):
        return default
    from .encode import encode

    return encode(default)


def _has_struct(value: Any) -> bool:
    from .fields import is_struct_value

    if is_dict(value):
        return any(map(_has_struct, value.values()))
    if is_items(value):
        return any(map(_has_struct, value))
    return is_struct_value(value)


def _normalize(rule: RewriteRule, *names: str) -> None:
    """Keep paths as tuples of parts, in which ``[]`` is ``*`` and ``?`` is nothing."""
    for name in names:
        path: Path = getattr(rule, name)
        given = parts(path.replace("[]", ".*")) if isinstance(path, str) else path
        cleaned = tuple("*" if p == "[]" else str(p) for p in given if p != "?")
        if not cleaned:
            raise ValueError(f"{type(rule).__name__}: {name} names no field")
        object.__setattr__(rule, name, cleaned)


def _freeze(rule: RewriteRule, name: str) -> None:
    values: Any = getattr(rule, name)
    if isinstance(values, str):
        raise ValueError(
            f"{type(rule).__name__}: {name} is a list of values, got a str"
        )
    if isinstance(values, set | frozenset):
        values = sorted(values, key=repr)
    object.__setattr__(rule, name, tuple(values))


def _problem(path: str, message: str, kind: str = "") -> ConfigError:
    return ConfigError("", [Problem(path, message, kind)])
