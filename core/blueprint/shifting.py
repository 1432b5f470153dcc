"""Paths into a list follow its items when one comes in or goes."""

from collections.abc import Sequence
from dataclasses import replace

from ...config.path import is_pattern, join
from .entry import END, Edit, Entry, Target
from .targets import paths_of


def shifted(
    entries: Sequence[Entry], edit: Edit, lists: Sequence[tuple[str, int]]
) -> dict[int, Entry | None]:
    """Return what becomes of ``entries``, by identity, as ``edit`` changes ``lists``.

    Those are paths and lengths. Patterns mean what they say; what is named by its path
    moves with it, and goes with it.
    """
    changed: dict[int, Entry | None] = {}
    if not isinstance(edit.key, int) or edit.key == END:
        return changed
    for entry in entries:
        target: Target | None = entry.target
        for path, size in lists:
            target = None if target is None else _moved(target, edit, path, size)
        if target is None:
            changed[id(entry)] = None
        elif target != entry.target:
            changed[id(entry)] = replace(entry, target=target)
    return changed


def _moved(target: Target, edit: Edit, path: str, size: int) -> Target | None:
    if isinstance(target, str) and is_pattern(target):
        return target
    moved = [_moved_path(one, edit, path, size) for one in paths_of(target)]
    left = tuple(one for one in moved if one is not None)
    if isinstance(target, str):
        return left[0] if left else None
    return left or None


def _moved_path(path: str, edit: Edit, owner: str, size: int) -> str | None:
    start = f"{owner}." if owner else ""
    name, _, rest = path[len(start) :].partition(".")
    if not path.startswith(start) or not name.isdecimal():
        return path
    key = int(edit.key)
    index, number = (key + size if key < 0 else key), int(name)
    if edit.kind == "insert":
        number += number >= index
    elif number == index:
        return None
    else:
        number -= number > index
    return join(owner, number, rest)
