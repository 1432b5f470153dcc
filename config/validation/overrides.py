"""Overrides: ``a.b.0.c=value``, applied to a tree before it is validated."""

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..classes.declared_types import (
    is_sequence,
    item_type,
    literals,
    members,
    sequence_in,
)
from ..classes.fields import (
    MISSING,
    ClassField,
    extra_of,
    fields_of,
    mapping_in,
    structs_in,
)
from ..classes.union_choice import check_declared_classes, name_problems, struct_for
from ..encode import encode
from ..errors import ConfigError, Problem
from ..path import child, item_index, parts
from ..short_text import quantity, short_repr, with_article
from ..spelling import did_you_mean
from ..tree import Ident, NamedStruct, is_dict, is_items
from ..versioned import upgrade
from .parse_value import from_text

_PATH = re.compile(r'((?:[^="]|"(?:[^"\\]|\\.)*+")*+)=', re.DOTALL)
"""The part before the first equals sign that is not in a quoted key."""


@dataclass(frozen=True, slots=True)
class Overridden:
    """A tree with overrides applied, and the problems of the others."""

    tree: object
    problems: list[Problem]
    is_plain: bool = True
    """Whether everything that was set could be written in JSON."""
    paths: tuple[str, ...] = ()
    """Where the values of overrides are in the tree."""

    def is_cause_of(self, problems: Iterable[Problem]) -> bool:
        """Return whether all ``problems`` are of overrides, and none of the tree."""
        return all(
            problem in self.problems
            or any(_is_within(problem.path, path) for path in self.paths)
            for problem in problems
        )


def _is_within(path: str, outer_path: str) -> bool:
    below = path.removeprefix(outer_path)
    return path.startswith(outer_path) and below[:1] in ("", ".", "[")


def apply_overrides(
    annotation: object, tree: object, overrides: Iterable[str]
) -> Overridden:
    """Return a copy of ``tree`` with each of ``overrides`` applied, in order.

    Values are parsed by the field's type: unchanged for ``str``, else as RON. Structs,
    lists and dicts that the tree omits start as their defaults.
    """
    texts = override_texts(overrides)
    if not texts:
        return Overridden(tree, [])
    root: dict[str, object] = {"": tree}
    problems: list[Problem] = []
    paths: list[str] = []
    ours = _Ours()
    for text in texts:
        try:
            paths.append(_apply(annotation, root, text, ours))
        except ConfigError as error:
            problems.extend(error.problems)
    return Overridden(root[""], problems, ours.is_plain(), tuple(paths))


@dataclass(slots=True)
class _Ours:
    """The parts that overrides brought into a tree that belongs to the caller."""

    containers: dict[int, object] = field(default_factory=dict[int, object])
    """Copied and new containers by ID; they are kept alive, so that no ID is reused."""
    values: list[object] = field(default_factory=list[object])

    def is_plain(self) -> bool:
        """Return whether all of it could be written in JSON."""
        kinds = {type(container) for container in self.containers.values()}
        return kinds <= {dict, list} and all(map(_is_plain, self.values))


_PLAIN = {bool, int, float, str, type(None)}


def _is_plain(tree: object) -> bool:
    if type(tree) is dict:
        return all(type(key) is str and _is_plain(v) for key, v in tree.items())
    return all(map(_is_plain, tree)) if type(tree) is list else type(tree) in _PLAIN


def override_texts(overrides: Iterable[str]) -> list[str]:
    """Return ``overrides`` as a list; TypeError for a string, a dict, and the like."""
    expected = "overrides must be a list of strings, as in ['a.b=1', 'c=2'], got"
    if isinstance(overrides, str):
        raise TypeError(f"{expected} one string: {short_repr(overrides)}")
    # A list is the usual case, and the check against an ABC is slow.
    if not isinstance(overrides, list | tuple) and (
        isinstance(overrides, Mapping) or not isinstance(overrides, Iterable)  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
    ):
        raise TypeError(f"{expected} {short_repr(overrides)}")
    texts = list(overrides)
    for text in texts:
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            raise TypeError(f"{expected} {short_repr(text)} in it")
    return texts


def _apply(annotation: object, root: dict[str, object], text: str, ours: _Ours) -> str:
    """Apply one override, and return the path of its value."""
    path, equals, value = split_override(text)
    if not equals:
        raise _problem(
            "", f"override {short_repr(text)}: expected the form field.name=value"
        )
    try:
        names = parts(path)
    except ValueError as error:
        raise _problem("", f"override {short_repr(text)}: {error}") from None
    owner = cursor = _Cursor(root, "", annotation, "", ours)
    for name in names:
        owner, cursor = cursor, cursor.enter(name)
    tree = from_text(cursor.annotation, value, cursor.path)
    misnamed = list(name_problems(cursor.annotation, tree, cursor.path))
    if misnamed:
        raise ConfigError("", misnamed)
    owner.check_tag(names[-1], tree)
    ours.values.append(tree)
    cursor.container[cursor.key] = tree
    return cursor.path


def split_override(text: str) -> tuple[str, str, str]:
    """Return path, sign and value; a quoted key may contain an equals sign."""
    match = _PATH.match(text)
    if match is None:
        return text, "", ""
    return match[1].strip(), "=", text[match.end() :]


@dataclass(slots=True)
class _Cursor:
    """A location that is about to be set, or entered."""

    container: Any
    key: Any
    annotation: object
    path: str
    ours: _Ours
    is_derived: bool = False
    """Whether a missing value here is computed from the fields before it."""

    def enter(self, name: str) -> "_Cursor":
        """Return the location called ``name`` within this one, created if missing."""
        if self.is_derived:
            message = "its default is computed from other fields; set it as a whole"
            raise _problem(self.path, message)
        value = self._value(name)
        struct = struct_for(self.annotation, value)
        if struct is not None:
            return self._enter_struct(struct, value, name)
        if is_items(value) and (kind := sequence_in(self.annotation)) is not Any:
            return self._enter_list(kind, value, name)
        mapping = mapping_in(self.annotation)
        if is_dict(value) and (mapping is not Any or Any in members(self.annotation)):
            key = self._key(value, name)
            kind = item_type(mapping, key)
            return self._at(value, key, kind, child(self.path, key))
        raise self._no_field(name)

    def check_tag(self, name: str, value: object) -> None:
        """Raise ConfigError if ``value`` is the tag of a class other than this one.

        The other fields are set already, and belong to the present class.
        """
        tree = self.container[self.key]
        if not isinstance(tree, NamedStruct):
            return
        structs = structs_in(self.annotation)
        if len(structs) < 2:
            return
        cls = struct_for(self.annotation, tree)
        tagged = [struct for struct in structs if value in _tags(struct, name)]
        if tagged and cls not in tagged:
            tagged_name, class_name = tagged[0].__name__, getattr(cls, "__name__", "")
            message = (
                f"{short_repr(value)} belongs to {tagged_name}, but this is "
                f"{with_article(class_name)}"
            )
            cure = f"Set {self.path or 'the file'}={tagged_name} first"
            raise _problem(child(self.path, name), f"{message}. {cure}")

    def _value(self, name: str) -> object:
        """Return the container here, an empty struct or dict if there is none."""
        try:
            value = self.container[self.key]
        except (KeyError, IndexError):
            value = None
        if isinstance(value, Ident):
            struct = struct_for(self.annotation, value)
            value = value if struct is None else NamedStruct(struct.__name__)
        if value is None or value == () or isinstance(value, Ident):
            empty = self._empty(name)
            value = value if empty is None else empty
        if value is None:
            return None
        # Only containers on the path are copied, once for all overrides; everything
        # else is shared with the caller's tree, which must not change.
        if id(value) not in self.ours.containers:
            if type(value) is dict:
                value = value.copy()
            else:
                value = list(value) if isinstance(value, tuple) else copy.copy(value)
            self.ours.containers[id(value)] = value
            self.container[self.key] = value
        return value

    def _at(
        self, container: object, key: object, annotation: object, path: str
    ) -> "_Cursor":
        return _Cursor(container, key, annotation, path, self.ours)

    def _empty(self, name: str) -> object:
        kinds = members(self.annotation)
        structs = structs_in(self.annotation)
        knowing = [cls for cls in structs if _field(cls, name) is not None]
        if structs:
            return NamedStruct((knowing or structs)[0].__name__)
        if mapping_in(self.annotation) is not Any or Any in kinds:
            return {}
        return [] if any(is_sequence(m) for m in kinds) else None

    def _enter_struct(self, cls: type, tree: Any, name: str) -> "_Cursor":
        field = _field(cls, name)
        if field is None:
            if extra_of(cls) == "allow":
                return self._at(tree, name, Any, child(self.path, name))
            raise self._no_field(name, cls)
        key = field.name
        if key not in tree:
            key = next((n for n in field.names if n in tree), key)
        place = self._at(tree, key, field.annotation, child(self.path, field.name))
        # A default that is entered is written out first: `opt.lr=1` sets one field of
        # it, and the others must remain as in the default.
        value = field.make_default() if key not in tree else MISSING
        place.is_derived = value is MISSING and key not in tree and field.has_default
        if value is not MISSING:
            check_declared_classes(
                field.annotation, value, child(self.path, field.name)
            )
            default = encode(value)
            if isinstance(default, dict | list | tuple):
                tree[key] = upgrade(field.annotation, default)
                self.ours.values.append(tree[key])
        return place

    def _enter_list(self, annotation: object, items: Any, name: str) -> "_Cursor":
        path = f"{self.path}[{name}]"
        index = item_index(name)
        if index is None:
            message = f"expected the index of an item, 0 to {len(items)}"
            raise _problem(child(self.path, name), message)
        if not -len(items) <= index <= len(items):
            size = quantity(len(items), "item")
            message = f"the list has {size}; the next index to add is {len(items)}"
            raise _problem(path, message)
        # An index one past the end appends, so that a list can be written item by item.
        if index == len(items):
            items.append(None)
        return self._at(items, index, item_type(annotation, index), path)

    def _key(self, items: dict[object, object], name: str) -> object:
        """Return the key that is written as ``name``, a string or a number."""
        if name in items:
            return name
        return next((key for key in items if str(key) == name), name)

    def _no_field(self, name: str, cls: type | None = None) -> ConfigError:
        path = child(self.path, name)
        if cls is None:
            kind = getattr(self.annotation, "__name__", str(self.annotation))
            where = self.path or "the configuration"
            hint = f"; set all of it: {self.path}=..." if self.path else ""
            message = f"unknown field: {where} is {kind}, which has no fields{hint}"
            return _problem(path, message)
        fields = fields_of(cls)
        hint = did_you_mean(name, fields) or f" Its fields are: {', '.join(fields)}."
        return _problem(path, f"unknown field for {cls.__name__}.{hint}")


def _tags(cls: type, name: str) -> list[object]:
    """Return the values of the ``Literal`` type of the field ``name`` of ``cls``."""
    field = _field(cls, name)
    kinds = () if field is None else members(field.annotation)
    return [value for kind in kinds for value in literals(kind)]


def _field(cls: type, name: str) -> ClassField | None:
    fields = fields_of(cls)
    field = fields.get(name)
    if field is not None and name in field.names:
        return field
    return next((f for f in fields.values() if name in f.names), None)


def _problem(path: str, message: str) -> ConfigError:
    return ConfigError("", [Problem(path, message)])
