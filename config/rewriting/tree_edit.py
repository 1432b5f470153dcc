"""Locations in a raw tree: finding them by pattern, and changing their values."""

import copy
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, Problem
from ..path import child, item_index
from ..patterns import fill_wildcards, is_pattern, wildcard_values
from ..short_text import quantity, short_repr
from ..tree import NamedStruct, StructWord, Weak, is_dict, is_items

NO_MOVE = "no move"
"""The kind of problem of a rule that the structure of a file conflicts with."""


@dataclass(frozen=True, slots=True)
class Site:
    """One item of a container in a tree."""

    top: Any
    """The tree that the path starts in."""
    key: Any
    parent: "Site | None"

    @property
    def container(self) -> Any:
        """The container of this item now: a tuple is replaced with its items."""
        return self.top if self.parent is None else self.parent.value

    @property
    def value(self) -> Any:
        """The value here."""
        return self.container[self.key]

    @property
    def path(self) -> str:
        """The path of this location from the root."""
        return child(self.parent.path if self.parent else "", self.key)

    @property
    def names(self) -> tuple[str, ...]:
        """The parts of the path from the root."""
        return (*(self.parent.names if self.parent else ()), str(self.key))

    @property
    def is_weak(self) -> bool:
        """Whether this is a default inside a struct that the file does not have."""
        return isinstance(self.container, Weak)

    @property
    def is_in_list(self) -> bool:
        """Whether this is an item of a list, or below one."""
        return type(self.key) is int or (
            self.parent is not None and self.parent.is_in_list
        )

    def set(self, value: object) -> None:
        """Set ``value`` here; a tuple around it is replaced in its own container."""
        container = self.container
        # Tuples are immutable, so each one up to the next list or dict is replaced.
        if isinstance(container, tuple) and self.parent:
            items = list(container)
            items[self.key] = value
            self.parent.set(tuple(items))
        else:
            self.container[self.key] = value

    def enter(self, name: str) -> Any:
        """Return the container here for a rule that continues to ``name``.

        A struct that is written without fields becomes one that can have fields.
        """
        value = self.value
        is_unit = isinstance(value, tuple) and not value and item_index(name) is None
        if not is_unit and not isinstance(value, StructWord):
            return value
        fields = NamedStruct(str(value) if isinstance(value, StructWord) else "")
        self.set(fields)
        return fields

    def remove(self) -> None:
        """Remove the value."""
        if isinstance(self.container, tuple):
            raise _problem(self.path, "an item of a tuple cannot be removed")
        del self.container[self.key]


def find_sites(
    tree: object, pattern: Sequence[str]
) -> list[tuple[Site, tuple[str, ...]]]:
    """Return the locations matching ``pattern``, with the values of its wildcards."""
    matches: list[tuple[Site, tuple[str, ...]]] = []
    deep = "**" in pattern
    # Only subtrees that match the pattern's beginning are visited, so that a tree of
    # millions of values is not walked as a whole.
    level = _children(tree, None)
    depth = 1
    while level and (deep or depth <= len(pattern)):
        for site in level:
            bound = (
                wildcard_values(pattern, site.names)
                if deep or depth == len(pattern)
                else None
            )
            if bound is not None:
                matches.append((site, bound))
        level = [
            below
            for site in level
            if deep or wildcard_values(pattern[:depth], site.names) is not None
            for below in _children(site.value, site)
        ]
        depth += 1
    return matches


def wrap_values(tree: object, pattern: Sequence[str], names: Sequence[str]) -> None:
    """Move the value at each location of ``pattern`` below ``names`` there."""
    for site, _ in _outermost(find_sites(tree, pattern)):
        value, kind = site.value, Weak if site.is_weak else dict
        for name in reversed(names):
            value = kind({name: value})
        site.set(value)


def move_values(tree: object, pattern: Sequence[str], target: Sequence[str]) -> None:
    """Move the values at the locations of ``pattern`` to where ``target`` returns.

    Items of a list that move to an empty location become a list there again.
    """
    sites = _outermost(find_sites(tree, pattern))
    moves = [
        (fill_wildcards(target, bound), site.value, site.is_weak)
        for site, bound in sites
    ]
    # From the end, so that the indices of earlier list items stay valid.
    for site, _ in reversed(sites):
        site.remove()
        if site.parent and site.container == [] and type(site.container) is list:
            # The classes may no longer have a field for it, as for a struct that became
            # empty.
            site.parent.remove()
    new_dicts: dict[tuple[str, ...], None] = {}
    if any(site.is_in_list for site, _ in sites):
        prefixes = (names[:n] for names, _, _ in moves for n in range(1, len(names)))
        new_dicts = dict.fromkeys(p for p in prefixes if not find_sites(tree, p))
    for names, value, weak in moves:
        create(tree, names, value, weak=weak)
    for prefix in sorted(new_dicts, key=len, reverse=True):
        for site, _ in find_sites(tree, prefix):
            fields = site.value
            if type(fields) is dict and [*fields] == [*map(str, range(len(fields)))]:
                site.set([*fields.values()])


def _outermost(
    sites: list[tuple[Site, tuple[str, ...]]],
) -> list[tuple[Site, tuple[str, ...]]]:
    """Return the sites that are not inside of another one, since those move with it."""
    places = {site.names for site, _ in sites}
    return [
        (site, bound)
        for site, bound in sites
        if not any(site.names[:n] in places for n in range(1, len(site.names)))
    ]


def create(tree: Any, names: Sequence[str], value: Any, *, weak: bool) -> None:
    """Put ``value`` at ``names``, which must be empty; create missing containers.

    The containers of a weak value are weak too.
    """
    container, path = tree, ""
    for name in names[:-1]:
        container = _enter(container, name, path, weak)
        path = child(path, name)
    value_path = child(path, names[-1])
    if is_items(container):
        _fill_item(container, names[-1], value, value_path)
        return
    # Moving the last field out of a struct has left an empty one behind.
    current = container.get(names[-1])
    if names[-1] in container and current != {} and not isinstance(current, Weak):
        if weak:
            return
        message = f"already exists ({short_repr(current, 40)}), but a rule moves"
        raise _problem(
            value_path, f"{message} {short_repr(value, 40)} there. Keep one of the two"
        )
    container[names[-1]] = value


def _fill_item(items: Any, name: str, value: Any, path: str) -> None:
    """Put ``value`` at the index of an item that the move left empty."""
    index = item_index(name)
    is_list = isinstance(items, list)
    if index is None or not is_list or items[index : index + 1] != [{}]:
        raise _problem(path, "a rule cannot move a value into a list")
    items[index] = value


def supply_default(tree: object, field: Sequence[str], default: object) -> None:
    """Insert ``default`` at every location of the pattern that has no value."""
    wild = [i for i, part in enumerate(field) if is_pattern(part)]
    if not wild:
        _supply_at(None, tree, field, default)
        return
    # A missing value cannot be found by its location: the last wildcard must match
    # something in the file, and missing names after it are created.
    start = wild[-1] + 1
    if start == len(field):
        raise ValueError(f"the default of {'.'.join(field)!r} must end in a name")
    for site, _ in find_sites(tree, field[:start]):
        _supply_at(site, site.enter(field[start]), field[start:], default)


def _supply_at(
    site: Site | None, container: object, names: Sequence[str], default: object
) -> None:
    """Insert ``default`` at ``names`` within ``container``, the value of ``site``."""
    for name, next_name in itertools.pairwise(names):
        key: Any = name
        if is_items(container):
            key = item_index(name)
            if key is None or not 0 <= key < len(container):
                return
        elif is_dict(container):
            container.setdefault(name, Weak())
        else:
            return
        site = Site(container, key, site)
        container = site.enter(next_name)
    if not is_dict(container):
        return
    field_name = names[-1]
    if field_name not in container:
        container[field_name] = copy.deepcopy(default)
    elif isinstance(container[field_name], Weak):
        # The file omits the struct, so it meant the old default of the whole; defaults
        # of fields added by earlier rules fill what that lacks.
        container[field_name] = _complete(copy.deepcopy(default), container[field_name])


def _complete(default: object, weak: Weak) -> Any:
    """Return ``default`` completed by ``weak``, if it is a struct."""
    if is_dict(default):
        for name, value in weak.items():
            if isinstance(value, Weak) and name in default:
                default[name] = _complete(default[name], value)
            else:
                default.setdefault(name, value)
    return default


def _enter(container: Any, name: str, path: str, weak: bool) -> Any:
    if is_items(container):
        items: Sequence[Any] = container
        index = item_index(name)
        if index is not None and 0 <= index < len(items):
            return items[index]
        raise _problem(
            child(path, name), f"the list has only {quantity(len(items), 'item')}"
        )
    if container.get(name) is None or container.get(name) == ():
        container[name] = Weak() if weak else {}
    elif isinstance(container[name], StructWord):
        container[name] = NamedStruct(str(container[name]))
    elif isinstance(container[name], Weak) and not weak:
        container[name] = dict(container[name])
    entered = container[name]
    if not isinstance(entered, dict | list | tuple):
        message = f"is {short_repr(entered, 40)}, but a rule moves a value into it"
        raise _problem(child(path, name), message)
    return entered


def _children(value: object, parent: Site | None) -> list[Site]:
    keys: Iterable[Any] = ()
    if is_dict(value):
        keys = list(value)
    elif is_items(value):
        keys = range(len(value))
    top = value if parent is None else parent.top
    return [Site(top, key, parent) for key in keys]


def _problem(path: str, message: str) -> ConfigError:
    return ConfigError("", [Problem(path, message, NO_MOVE)])
