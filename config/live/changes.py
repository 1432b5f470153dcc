"""The differences between two configs, by path, and whether they are allowed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ..classes.editable import editable_paths, is_editable
from ..classes.field_types import Ctx, is_field_type
from ..classes.fields import (
    declared_items,
    is_struct_value,
    stored_fields,
)
from ..classes.pydantic_internals import extra_values
from ..encode import encode, encoded_key
from ..errors import ConfigError, Problem
from ..path import child, item_index, parts
from ..ron import read, write
from ..schedule.number import schedule_text
from ..short_text import first_names
from ..tree import is_dict, is_items, is_mapping_value, with_item
from ..validation.validate import build
from ..versioned import config_version_of, is_versioned

C = TypeVar("C")

_MOST_SHOWN = 60
"""Maximal length of a value in a message, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A changed value at one path of a config."""

    path: str
    """The field, as overrides name it."""

    before: str
    """The old value as RON; the text of the schedule if it followed one."""

    after: str
    """The new value as RON."""

    note: str = ""
    """What the change means for a schedule; empty if neither value is one."""

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"{self.path}: {_short(self.before)} -> {_short(self.after)}{note}"


def changes_between(before: object, after: object) -> list[Change]:
    """Return the differences of ``after`` from ``before``, a config of the same class.

    Numbers that follow a schedule are compared by its text. Raises ConfigError, with
    every path, for differences in fields that may not be edited.
    """
    differences = [*_differences(before, after, type(before), "", False)]
    refused = [(path, a) for path, a, _, is_marked in differences if not is_marked]
    if refused:
        cls = type(before)
        raise ConfigError("", [_unmarked(path, a, cls) for path, a in refused])
    return [_change(path, a, b) for path, a, b, _ in differences]


def apply_changes(config: C, changes: Iterable[Change], ctx: Ctx | None = None) -> C:
    """Return a copy of ``config`` with ``changes`` applied, validated as a file is.

    ``ctx`` is passed to `Serializable.deserialize`. Raises ConfigError, with its path,
    for a value that does not fit.
    """
    tree = encode(config)
    for change in changes:
        tree = _put(tree, change)
    return build(type(config), tree, ctx=ctx)  # type: ignore[no-any-return]  # of its class


def apply_edit(config: C, changes: Iterable[Change], ctx: Ctx | None = None) -> C:
    """Do as `apply_changes`; ConfigError also for a field that may not be edited now.

    A past edit that is repeated may be of a field that was editable then.
    """
    edited = apply_changes(config, changes, ctx)
    changes_between(config, edited)
    return edited


def changed_paths(before: object, after: object, path: str = "") -> list[str]:
    """Return the paths at which two encoded configs differ."""
    if is_dict(before) and is_dict(after) and before.keys() == after.keys():
        pairs = ((child(path, k), before[k], after[k]) for k in before)
        return [name for below, a, b in pairs for name in changed_paths(a, b, below)]
    return [] if write(before) == write(after) else [path]


def marked_values(config: object) -> dict[str, str]:
    """Return the values of the marked fields of ``config``, as RON, by path.

    Each item of a struct or dict in such a field has a path of its own.
    """
    return dict(_marked_values(config, type(config), "", False))


def values_within(path: str, text: str) -> dict[str, str]:
    """Return the value at ``path`` as the RON text that `marked_values` returns."""
    return dict(_leaves(path, read(text)))


def unwritten_fields(config: object, tree: object) -> Iterator[str]:
    """Yield the paths of fields of ``config`` that the file ``tree`` omits."""
    for path, struct, names in _written_structs(config, tree, ""):
        for field in stored_fields(type(struct)):
            if not field.names & names.keys():
                yield child(path, field.name)


def is_of_now(config: object, tree: object) -> bool:
    """Return whether the file ``tree`` contains all of ``config`` as it is dumped now.

    A file of an older version is readable, but has other names and other values.
    """
    return not any(unwritten_fields(config, tree)) and all(
        names.get("version", 0) == (config_version_of(type(struct)) or 0)
        for _, struct, names in _written_structs(config, tree, "")
        if is_versioned(type(struct))
    )


def has_place(config: object, path: str) -> bool:
    """Return whether ``config`` has a value at ``path``."""
    try:
        _tree_at(encode(config), path)
    except (LookupError, ConfigError):
        return False
    return True


def with_values_of(config: C, edited: C, paths: Iterable[str], ctx: Ctx | None) -> C:
    """Return ``config`` with the values of ``edited`` at ``paths``, where they fit."""
    tree = encode(edited)
    for path in paths:
        with suppress(ConfigError, LookupError):
            text = write(_tree_at(tree, path))
            change = Change(path=path, before="", after=text)
            config = apply_changes(config, [change], ctx)
    return config


def _tree_at(tree: Any, path: str) -> Any:
    """Return the value at ``path``. LookupError if there is none."""
    for name in parts(path):
        tree = tree[key_in(tree, name)]
    return tree


def _written_structs(
    config: object, tree: object, path: str
) -> Iterator[tuple[str, object, dict[Any, Any]]]:
    """Yield the structs in ``config`` that ``tree`` has, each with its subtree."""
    if is_struct_value(config) and (is_dict(tree) or tree == ()):
        names = tree if is_dict(tree) else {}
        yield path, config, names
        for field in stored_fields(type(config)):
            for name in field.names & names.keys():
                value = getattr(config, field.attribute)
                yield from _written_structs(value, names[name], child(path, field.name))
    elif is_mapping_value(config) and is_dict(tree):
        # All keys are strings in JSON.
        items = {str(key): item for key, item in tree.items()}
        for key, value in config.items():
            name = encoded_key(key, path)
            if str(name) in items:
                below = child(path, name)
                yield from _written_structs(value, items[str(name)], below)
    elif is_items(config) and is_items(tree):
        for i, (value, item) in enumerate(zip(config, tree, strict=False)):
            yield from _written_structs(value, item, child(path, i))


def _marked_values(
    value: Any, annotation: object, path: str, is_marked: bool
) -> Iterator[tuple[str, str]]:
    if is_marked:
        yield from _leaves(path, encode(value, annotation=annotation))
    elif is_struct_value(value):
        for field in stored_fields(type(value)):
            item, below = getattr(value, field.attribute), child(path, field.name)
            marked = is_editable(field.annotation)
            yield from _marked_values(item, field.annotation, below, marked)
    elif is_mapping_value(value) or is_items(value):
        for key, item, kind in declared_items(annotation, value):
            below = child(path, encoded_key(key, path))
            yield from _marked_values(item, kind, below, is_editable(kind))


def _leaves(path: str, tree: object) -> Iterator[tuple[str, str]]:
    if is_dict(tree) and tree and _has_paths(tree):
        for key, item in tree.items():
            yield from _leaves(child(path, key), item)
    else:
        yield path, write(tree)


_Difference = tuple[str, tuple[object, object], tuple[object, object], bool]
"""Path, value and declared type before and after, and whether it may be edited."""


def _differences(
    before: Any, after: Any, annotation: object, path: str, is_marked: bool
) -> Iterator[_Difference]:
    if _is_same(before, after, annotation):
        return
    if is_struct_value(before) and type(before) is type(after):
        yield from _of_fields(before, after, path, is_marked)
    elif _has_same_items(before, after):
        for key, item, kind in declared_items(annotation, before):
            below = child(path, encoded_key(key, path))
            marked = is_marked or is_editable(kind)
            yield from _differences(item, after[key], kind, below, marked)
    else:
        yield path, (before, annotation), (after, annotation), is_marked


def _of_fields(
    before: Any, after: Any, path: str, is_marked: bool
) -> Iterator[_Difference]:
    for field in stored_fields(type(before)):
        marked = is_marked or is_editable(field.annotation)
        yield from _differences(
            getattr(before, field.attribute),
            getattr(after, field.attribute),
            field.annotation,
            child(path, field.name),
            marked,
        )
    extras, extras_after = extra_values(before), extra_values(after)
    if not _is_same(dict(extras), dict(extras_after), Any):
        yield path, (extras, Any), (extras_after, Any), is_marked


def _has_same_items(before: Any, after: Any) -> bool:
    if is_field_type(type(before)):
        return False
    if is_mapping_value(before) and is_mapping_value(after):
        if is_struct_value(before) or is_struct_value(after):
            return False
        return _has_paths(before) and {*map(_typed_key, before)} == {
            *map(_typed_key, after)
        }
    is_same_kind = type(before) is type(after)
    return is_same_kind and is_items(before) and len(before) == len(after)


def _has_paths(items: Mapping[Any, object]) -> bool:
    """Return whether each key of a dict has a path of its own.

    The keys 1 and "1" share a path, and so do None and "None".
    """
    return len({str(encoded_key(key, "")) for key in items}) == len(items)


def _typed_key(key: object) -> object:
    """Return the identity of a key, since True equals the number 1 in Python."""
    return type(key), key


def _is_same(before: object, after: object, annotation: object) -> bool:
    # Compared as text: NaN equals NaN, and 1 is neither 1.0 nor True.
    return _text(before, annotation) == _text(after, annotation)


def _text(value: object, annotation: object) -> str:
    return write(encode(value, annotation=annotation))


def _change(
    path: str, before: tuple[object, object], after: tuple[object, object]
) -> Change:
    was, now = schedule_text(before[0]), schedule_text(after[0])
    note = ""
    if was is not None:
        kind = "number" if now is None else "schedule"
        note = f"the {kind} replaces the schedule"
    elif now is not None:
        note = "a schedule from now on"
    return Change(path=path, before=_text(*before), after=_text(*after), note=note)


def _unmarked(path: str, before: tuple[object, object], cls: Any) -> Problem:
    marked = editable_paths(cls)
    allowed = (
        f"Editable fields: {first_names(marked, 8)}"
        if marked
        else "No field is editable"
    )
    return Problem(
        path,
        "cannot be edited during a run, since the field is not marked with "
        f"editable=True. {allowed}. The run uses {_short(_text(*before))}: write "
        "that value back, and start another run to use a new one",
    )


def _put(tree: object, change: Change) -> Any:
    after = read(change.after)
    key_of = partial(_key, path=change.path)
    return with_change(tree, parts(change.path), key_of, lambda _: after)


def with_change(
    tree: Any,
    names: Sequence[str],
    key_of: Callable[[Any, str], Any],
    change: Callable[[Any], object],
) -> Any:
    """Return ``tree`` with ``change`` applied to the value that ``names`` lead to.

    Dicts and lists are changed in place, tuples replaced. ``key_of`` finds a name among
    the items.
    """
    if not names:
        return change(tree)
    key = key_of(tree, names[0])
    item = tree.get(key) if is_dict(tree) else tree[key]
    return with_item(tree, key, with_change(item, names[1:], key_of, change))


def _key(container: Any, name: str, path: str) -> Any:
    try:
        return key_in(container, name)
    except LookupError:
        if is_dict(container):
            return name
        message = "no such place in the current config"
        raise ConfigError("", [Problem(path, message)]) from None


def key_in(container: object, name: str) -> Any:
    """Return the dict key, or the item's index, that a path calls ``name``.

    LookupError if there is none.
    """
    if is_dict(container):
        for key in container:
            if str(key) == name:
                return key
    elif is_items(container):
        index = item_index(name)
        if index is not None and -len(container) <= index < len(container):
            return index
    raise LookupError(name)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _MOST_SHOWN else f"{flat[:_MOST_SHOWN]}..."
