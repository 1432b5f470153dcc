"""Paths into a list or a dict follow its items when one comes in or goes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ...config.path import is_pattern, join
from .entry import END, Edit, Entry, Target
from .lists import name_in_dict
from .targets import paths_of


@dataclass(frozen=True, slots=True)
class Owner:
    """A list or a dict of modules at one of its paths, before it is changed."""

    path: str
    names: Sequence[str]
    """Of its items, in order."""
    is_dict: bool

    def renamed(self, name: str, edit: Edit) -> str | None:
        """Return what the item ``name`` is called after ``edit``, None if it goes."""
        if self.is_dict:
            # One that comes in under the name of another takes its place.
            return None if name == name_in_dict(edit, self.names) else name
        index = self._index(edit)
        if index is None or not name.isdecimal():
            return None if edit.kind == "remove" and name == edit.key else name
        number = int(name)
        if edit.kind == "insert":
            return str(number + (number >= index))
        return None if number == index else str(number - (number > index))

    def _index(self, edit: Edit) -> int | None:
        key = edit.key
        if isinstance(key, int):
            return None if key == END else key + len(self.names) * (key < 0)
        if key.isdecimal():
            return int(key)
        return self.names.index(key) if key in self.names else None


def shifted(
    entries: Sequence[Entry],
    edit: Edit,
    owners: Sequence[Owner],
    paths_of_same: Callable[[str], Sequence[str]],
) -> dict[int, Entry | None]:
    """Return what becomes of ``entries``, by identity, as ``edit`` changes ``owners``.

    Patterns mean what they say; what is named by its path moves with it, and goes
    with it, unless the same module stays in another place (``paths_of_same``).
    """

    def moved_path(path: str, owner: Owner) -> str | None:
        paths = (path, *paths_of_same(path))
        moved = (_moved_path(one, edit, owner) for one in paths)
        return next((one for one in moved if one is not None), None)

    changed: dict[int, Entry | None] = {}
    for entry in entries:
        target: Target | None = entry.target
        for owner in owners:
            target = (
                None
                if target is None
                else _moved(target, partial(moved_path, owner=owner))
            )
        if target is None:
            changed[id(entry)] = None
        elif target != entry.target:
            changed[id(entry)] = replace(entry, target=target)
    return changed


def _moved(target: Target, moved_path: Callable[[str], str | None]) -> Target | None:
    if isinstance(target, str) and is_pattern(target):
        return target
    moved = [moved_path(one) for one in paths_of(target)]
    left = tuple(one for one in moved if one is not None)
    if isinstance(target, str):
        return left[0] if left else None
    return left or None


def _moved_path(path: str, edit: Edit, owner: Owner) -> str | None:
    start = f"{owner.path}." if owner.path else ""
    name, _, rest = path[len(start) :].partition(".")
    if not path.startswith(start) or not name:
        return path
    renamed = owner.renamed(name, edit)
    return None if renamed is None else join(owner.path, renamed, rest)
