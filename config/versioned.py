"""Configuration classes with a version, and files of older versions."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from .classes.declared_types import is_sequence, item_type, members, sequence_in
from .classes.fields import (
    class_of,
    fields_of,
    is_mapping,
    is_struct,
    mapping_in,
    structs_in,
    types_within,
)
from .classes.remembered import remembered
from .classes.union_choice import (
    candidates_for,
    is_choice,
    most_alike,
    structs_for,
)
from .errors import ConfigError, ConfigVersionError, Problem
from .path import child, item_index, path_below
from .patterns import wildcard_values
from .process.interrupts import raise_of_signal
from .rewriting.rewrite_rule import RewriteRule, check_rules, supplies_default
from .short_text import short_repr
from .tree import (
    Ident,
    NamedStruct,
    Weak,
    is_dict,
    is_items,
    mark_struct_words,
    unshared,
)


class Versioned:
    """Base of a config whose files of older versions can still be read.

    Increase ``version`` with every change that old files would not survive, and return
    in ``upgrade_rules`` how they are converted; ``burnish schema check`` proposes the
    rules.
    """

    @classmethod
    def version(cls) -> int:
        """Return the current version of the class, 0 or more."""
        raise NotImplementedError(f"{cls.__qualname__} is Versioned: define version()")

    @classmethod
    def minimum_version(cls) -> int:
        """Return the oldest version that can still be read."""
        return 0

    @classmethod
    def upgrade_rules(cls) -> Mapping[int, Sequence[RewriteRule]]:
        """Return the rules from each old version to the next one, in order."""
        return {}


def is_versioned(cls: object) -> TypeGuard[type[Versioned]]:
    """Return whether ``cls``, possibly a generic class, has a version."""
    bare = class_of(cls)
    return isinstance(bare, type) and issubclass(bare, Versioned)


def config_version_of(cls: type) -> int | None:
    """Return the version of ``cls``, None if it has none."""
    return cls.version() if is_versioned(cls) else None


def upgrade_rules_of(cls: type[Versioned]) -> Mapping[int, Sequence[RewriteRule]]:
    """Return the upgrade rules of ``cls``.

    Raises ValueError for rules that start at the class's version or above it, and
    TypeError for anything but a rule.
    """
    rules = cls.upgrade_rules()
    check_rules(cls, cls.version(), rules)
    return rules


Rules = Mapping[type, Sequence[RewriteRule]]
"""Rules by the class that they belong to."""


def upgrade(annotation: object, tree: object, added: Rules | None = None) -> Any:
    """Return a copy of ``tree`` with every versioned struct at its newest version.

    The versions themselves are removed; a struct without one is of version 0. ``added``
    are tried after the rules of the classes. Raises ConfigVersionError for a struct
    that is newer than its class.
    """
    return _Upgrade(added or {}).value(annotation, unshared(tree), "")


def written_part(annotation: object, tree: object) -> Any:
    """Return ``tree`` upgraded, without the old defaults that rules supply.

    Its values were written by the user, under whatever names they had at the time.
    """
    try:
        return _Upgrade({}, supplies=False).value(annotation, unshared(tree), "")
    except Exception as error:  # a user's rule may rely on a default of an earlier one
        raise_of_signal(error)
        return upgrade(annotation, tree)


def versions_in(cls: type) -> dict[str, int]:
    """Return the version of each class in ``cls`` by name; its own also under "".

    A class without a version has version 0, as in a file.
    """
    versions = {
        getattr(struct, "__name__", ""): config_version_of(struct) or 0
        for struct in _structs_in(cls)
    }
    return {**versions, "": config_version_of(cls) or 0}


def current_path(annotation: object, path: Sequence[str]) -> tuple[str, ...] | None:
    """Return where rules have moved the value at ``path`` in older files.

    None if no class has such a place now. The rules of all versions are applied, so
    that a name that was reused is mapped wrongly: pass only names that do not exist
    now, or call `path_since` if the versions are known.
    """
    return _path_now(annotation, path, lambda _: 0)


def path_since(
    cls: type, path: Sequence[str], versions: Mapping[str, int]
) -> tuple[str, ...] | None:
    """Return where rules since ``versions`` have moved the value at ``path``.

    ``versions`` is what `versions_in` returned for the class at that time. None if no
    class has such a place now, or if a rule computes a new value for it.
    """

    def since(part: type[Versioned]) -> int:
        name = "" if part is cls else part.__name__
        # A class under a new name has no older files that could be recognized.
        return versions.get(name, part.version())

    return _path_now(cls, path, since)


def _path_now(
    annotation: object, path: Sequence[str], since: Callable[[type[Versioned]], int]
) -> tuple[str, ...] | None:
    if not path:
        return ()
    is_known = False
    for member in members(annotation):
        names: Sequence[str] | None = path
        below: object = None
        if is_struct(member):
            is_known = True
            if is_versioned(member):
                names = _renamed(_rules_since(member, since(member)), path)
            field = fields_of(member).get(names[0]) if names else None
            below = None if field is None else field.annotation
        elif is_mapping(member) or is_sequence(member):
            is_known = True
            index = item_index(path[0]) or 0
            below = item_type(member, index if is_sequence(member) else path[0])
        if names and below is not None:
            tail = _path_now(below, names[1:], since)
            if tail is not None:
                return (names[0], *tail)
    # A value of any type has no rules.
    return None if is_known else tuple(path)


def _rules_since(cls: type[Versioned], since: int) -> list[RewriteRule]:
    """Return the rules of ``cls`` for data written at version ``since``."""
    rules_by_version = sorted(upgrade_rules_of(cls).items())
    return [rule for step, rules in rules_by_version if step >= since for rule in rules]


def _renamed(
    rules: Iterable[RewriteRule], path: Sequence[str], *, is_computed: bool = False
) -> Sequence[str] | None:
    """Return ``path`` after ``rules``.

    None if one of them deletes it, or, without ``is_computed``, computes a new value
    for it.
    """
    text: str | None = _dotted(path)
    for rule in rules:
        if text is None:
            return None
        if not is_computed and _computes(rule, _names(text)):
            return None
        text = rule.rename(text)
    return None if text is None else _names(text)


_DOT = "\0"
"""Replaces a dot in a key, since in rules dots separate names."""


def _dotted(names: Sequence[str]) -> str:
    return ".".join(name.replace(".", _DOT) for name in names)


def _names(dotted: str) -> list[str]:
    return [name.replace(_DOT, ".") for name in dotted.split(".")]


def _computes(rule: RewriteRule, path: Sequence[str]) -> bool:
    """Return whether ``rule`` computes a new value for the one at ``path``."""
    # Any object with `apply` and `rename` is a rule.
    field: tuple[str, ...] | None = getattr(rule, "computed_field", None)
    if field is None:
        return False
    lengths = range(len(path) + 1)
    is_inside = any(wildcard_values(field, path[:n]) is not None for n in lengths)
    return is_inside or wildcard_values(field[: len(path)], path) is not None


def has_versions(annotation: object) -> bool:
    """Return whether a versioned class is anywhere in ``annotation``."""
    return any(map(is_versioned, types_within(annotation)))


@dataclass(frozen=True, slots=True)
class _Upgrade:
    """One walk through a tree, from the rules of a struct to those of its content."""

    added: Rules
    supplies: bool = True
    """Whether rules that only supply old defaults are applied as well."""

    def value(self, annotation: object, tree: Any, path: str) -> Any:
        structs = _structs_then(annotation, tree, self.added)
        if structs and not _may_be_items(annotation, structs[0], tree):
            is_certain = is_choice(annotation) or mapping_in(annotation) is not Any
            if type(tree) is dict and is_certain and len(structs) == 1:
                # The version and old names are removed now, after they have
                # distinguished the struct from other classes and from a dict with such
                # keys.
                tree = NamedStruct(structs[0].__name__, tree)
            return self._struct(structs[0], tree, path)
        if is_items(tree):
            sequence = sequence_in(annotation)
            items = [
                self.value(item_type(sequence, i), item, child(path, i))
                for i, item in enumerate(tree)
            ]
            return items if isinstance(tree, list) else tuple(items)
        if is_dict(tree):
            mapping = mapping_in(annotation)
            for key in list(tree):
                kind = item_type(mapping, key)
                tree[key] = self.value(kind, tree[key], child(path, key))
        return tree

    def _struct(self, cls: type, tree: object, path: str) -> object:
        rules: list[RewriteRule] = []
        if is_versioned(cls):
            tree = _with_fields(tree)
            rules += _rules_since(cls, _take_version(cls, tree, path))
        rules += self.added.get(cls, ())
        if rules:
            tree = mark_struct_words(_with_fields(tree), _struct_names(cls))
            self._apply(rules, tree, path)
        if is_dict(tree):
            for field in fields_of(cls).values():
                for name in field.names & tree.keys():
                    field_path = child(path, field.name)
                    tree[name] = self.value(field.annotation, tree[name], field_path)
        return tree

    def _apply(self, rules: Sequence[RewriteRule], tree: object, path: str) -> None:
        for rule in rules:
            if self.supplies or not supplies_default(rule):
                _apply(rule, tree, path)


def _with_fields(tree: object) -> object:
    """Return the dict for rules of a struct that RON has as ``()`` or a word."""
    if isinstance(tree, Ident):
        return NamedStruct(str(tree))
    return {} if tree == () else tree


@remembered
def _struct_names(cls: type) -> frozenset[str]:
    """Return the names of the classes in ``cls``, itself included."""
    return frozenset(getattr(struct, "__name__", "") for struct in _structs_in(cls))


def _structs_in(cls: type) -> set[Any]:
    """Return the classes in ``cls``, itself included."""
    return set(filter(is_struct, types_within(cls)))


def _take_version(cls: type[Versioned], tree: object, path: str) -> int:
    current = cls.version()
    # Old defaults of rules are in the current form; only dicts have versions.
    if isinstance(tree, Weak) or not is_dict(tree):
        return current
    version: object = tree.pop("version", 0)
    version_path = child(path, "version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        raise _version_error(
            version_path,
            f"expected an integer of at least 0, found {short_repr(version, 40)}",
        )
    if version > current:
        hint = f"{cls.__qualname__} is at {current}. Update the code that reads it"
        raise _version_error(
            version_path, f"the file has version {short_repr(version)}, but {hint}"
        )
    if version < cls.minimum_version():
        hint = f"{cls.__qualname__} reads {cls.minimum_version()} and later"
        raise _version_error(
            version_path, f"the file has version {short_repr(version)}, but {hint}"
        )
    return version


def _structs_then(annotation: object, tree: object, added: Rules) -> list[type]:
    """Return the classes that ``tree`` may belong to, by its names at that time.

    A field that was renamed since identifies a class as well as an unchanged one.
    """
    structs = structs_for(annotation, tree)
    if not structs or not is_dict(tree) or not is_choice(annotation):
        return structs
    candidates = candidates_for(structs_in(annotation), tree)
    has_rules = any(is_versioned(cls) or cls in added for cls in candidates)
    if len(candidates) < 2 or not has_rules:
        return structs
    classes = most_alike(
        {cls: _renamed_keys(cls, tree, added.get(cls, ())) for cls in candidates}
    )
    # A file without a version may be current as well as of version 0.
    return most_alike(dict.fromkeys(classes, tree))


def _renamed_keys(
    cls: type, tree: dict[str, Any], added: Sequence[RewriteRule]
) -> dict[str, Any]:
    """Return the fields of ``tree`` by the names that they have in ``cls`` now."""
    rules = [*added]
    if is_versioned(cls):
        version = tree.get("version", 0)
        if type(version) is not int or version > cls.version():
            return tree
        rules = [*_rules_since(cls, version), *added]
    elif not added:
        return tree
    renamed: dict[str, Any] = {}
    for path, value in _named_values(tree, ()):
        path_now = _renamed(rules, path, is_computed=True)
        if path_now and path != ("version",):
            renamed[path_now[0]] = value if len(path_now) == 1 else {}
    return renamed


def _named_values(
    tree: dict[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield the items of a dict, and of the dicts in it, by path."""
    for name, value in tree.items():
        below = (*path, str(name))
        if is_dict(value) and value:
            yield from _named_values(value, below)
        else:
            yield below, value


def _may_be_items(annotation: object, struct: type, tree: object) -> bool:
    """Return whether ``tree`` may be a dict with keys as well as a ``struct``.

    A tree with a version, or with the name of the class, is not.
    """
    if not is_dict(tree) or mapping_in(annotation) is Any:
        return False
    is_named = isinstance(tree, NamedStruct) and bool(tree.name)
    return not is_named and not (is_versioned(struct) and "version" in tree)


def _apply(rule: RewriteRule, tree: object, path: str) -> None:
    try:
        rule.apply(tree)
    except ConfigError as error:
        inside = [
            Problem(path_below(path, p.path), p.message, p.kind) for p in error.problems
        ]
        raise ConfigError(error.source, inside) from error.__cause__


def _version_error(path: str, message: str) -> ConfigVersionError:
    return ConfigVersionError("", [Problem(path, message)])
