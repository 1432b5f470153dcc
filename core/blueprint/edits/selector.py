"""Selectors: ``bp["encoder|decoder", :2]``, ``bp[..., "layer#0"]``, as paths."""

import re
from collections.abc import Iterable, Sequence
from types import EllipsisType
from typing import TypeAlias

from ....config.path import join
from ....config.patterns import is_pattern, matchers
from ..errors import SettingError

Part: TypeAlias = str | int | slice | EllipsisType | list[int]
Selector: TypeAlias = Part | tuple[Part, ...]

_CHOICE = re.compile(r"^(?P<names>[^#]*)(?:#(?P<which>[-\d:]+))?$")


def select(tree: Sequence[str], bases: Iterable[str], selector: Selector) -> list[str]:
    """Return the paths of ``tree`` that ``selector`` matches below ``bases``.

    ``tree`` is in the order of the module. A name may contain ``|`` (either), ``,``
    (one after the other), ``#n`` or ``#a:b`` (which of the matches below each part
    selected before), and patterns. ``...`` is any depth before a name, and everything
    below at the end.
    """
    parts = selector if isinstance(selector, tuple) else (selector,)
    paths, anywhere = list(bases), False
    for part in parts:
        if part is ...:
            anywhere = True
            continue
        paths = _step(tree, paths, part, anywhere=anywhere)
        anywhere = False
    if anywhere:
        reached = {*paths, *_below(tree, paths)}
        paths = [path for path in tree if path in reached]
    return paths


def spelled(base: str, selector: Selector) -> str | None:
    """Return the path or pattern that means the same for any tree, if possible."""
    parts = selector if isinstance(selector, tuple) else (selector,)
    words: list[str] = [base] if base else []
    for part in parts:
        if part is ...:
            words.append("**")
        elif isinstance(part, str) and not {"#", ","} & set(part.partition("{")[0]):
            either = part.replace(" ", "").replace("|", ",")
            words.append("{" + either + "}" if "|" in part else part)
        else:
            return None
    # Everything below the root, and the root: no pattern matches both.
    return None if words == ["**"] else ".".join(words)


def means_one(selector: Selector) -> bool:
    """Return whether ``selector`` has only names and indices, and so means one part."""
    parts = selector if isinstance(selector, tuple) else (selector,)
    return all(
        not (is_pattern(part) or {"|", ",", "#"} & set(part))
        if isinstance(part, str)
        else isinstance(part, int)
        for part in parts
    )


def _step(
    tree: Sequence[str], bases: list[str], part: Part, *, anywhere: bool
) -> list[str]:
    """Return the matches of ``part`` below each of ``bases``, base after base."""
    if isinstance(part, bool) or not isinstance(part, str | int | slice | list):
        raise TypeError(
            "a selector must be a name, an index, a slice, ... or a tuple, got "
            f"{part!r:.80}"
        )
    _check_positions(part)
    paths: list[str] = []
    for base in bases:
        owners = [base, *_below(tree, [base])] if anywhere else [base]
        if isinstance(part, str):
            choices = part.split(",") if "{" not in part else [part]
            for choice in choices:
                paths += _paths_of_choice(tree, owners, choice.strip())
        else:
            for owner in owners:
                paths += _items(children(tree, owner), part)
    # One base may be inside of another.
    return list(dict.fromkeys(paths))


def _check_positions(part: Part) -> None:
    """Raise TypeError for a list or slice of anything but indices."""
    items: list[object] = []
    if isinstance(part, slice):
        items = [end for end in (part.start, part.stop, part.step) if end is not None]
    elif isinstance(part, list):
        items = [*part]
    names = [name for name in items if isinstance(name, str)]
    if all(isinstance(item, int) for item in items):
        return
    hint = (
        f'; pass several paths as one string: "{", ".join(names):.80}"' if names else ""
    )
    raise TypeError(
        f"a list or slice in a selector holds positions, got {part!r:.80}{hint}"
    )


def _paths_of_choice(tree: Sequence[str], owners: list[str], choice: str) -> list[str]:
    """Return the matches of one alternative: names, then an index among the matches."""
    match = _CHOICE.match(choice)
    if match is None:
        raise SettingError(choice, "expected name, name#n or name#a:b after '#'")
    names = [name.strip() for name in match["names"].split("|")]
    paths = [path for name in names for path in _under(tree, owners, name)]
    if len(owners) > 1:
        matching_paths = set(paths)
        paths = [path for path in tree if path in matching_paths]
    return paths if match["which"] is None else _which(paths, match["which"], choice)


def _under(tree: Sequence[str], bases: list[str], name: str) -> list[str]:
    """Return the matches of ``name``, a path or a pattern, below each of ``bases``."""
    if not is_pattern(name):
        tree_paths = set(tree)
        return [path for base in bases if (path := join(base, name)) in tree_paths]
    matcher = matchers(name)[0]
    paths: list[str] = []
    for base in bases:
        start = len(base) + 1 if base else 0
        paths += [path for path in _below(tree, [base]) if matcher(path[start:], None)]
    return paths


def children(tree: Sequence[str], base: str) -> list[str]:
    """Return the paths one step below ``base``."""
    start = f"{base}." if base else ""
    return [p for p in tree if p and p.startswith(start) and "." not in p[len(start) :]]


def _below(tree: Sequence[str], bases: Iterable[str]) -> list[str]:
    starts = tuple(f"{base}." if base else "" for base in bases)
    return [path for path in tree if path and path.startswith(starts)]


def _items(paths: list[str], part: int | slice | list[int]) -> list[str]:
    if isinstance(part, slice):
        return paths[part]
    indices = part if isinstance(part, list) else [part]
    return [paths[i] for i in indices if -len(paths) <= i < len(paths)]


def _which(paths: list[str], which: str, choice: str) -> list[str]:
    try:
        numbers = [int(n) if n else None for n in which.split(":")]
        if len(numbers) == 1:
            return _items(paths, numbers[0] or 0)
        return paths[slice(*numbers)]
    except (TypeError, ValueError):
        raise SettingError(choice, "expected #n, #a:b or #a:b:step") from None
