"""Paths into a list or a dict follow its items when one comes in or goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True, eq=False)
class Shift:
    """What becomes of paths as an edit changes the lists and dicts that it means.

    Patterns mean what they say; what is named by its path moves with its item, and
    goes with it, unless the same module stays in another place.
    """

    edit: Edit
    owners: Sequence[Owner]
    same: Mapping[str, Sequence[str]]
    """The paths of each module that has several, by each of them."""

    def changes(self, entries: Sequence[Entry]) -> dict[int, Entry | None]:
        """Return what becomes of ``entries``, by identity; None for those that go."""
        changed: dict[int, Entry | None] = {}
        for entry in entries:
            target = self.target(entry.target)
            if target is None:
                changed[id(entry)] = None
            elif target != entry.target:
                changed[id(entry)] = replace(entry, target=target)
        return changed

    def target(self, target: Target) -> Target | None:
        """Return what ``target`` is called afterwards, None if all of it goes."""
        if isinstance(target, str) and is_pattern(target):
            return target
        moved = map(self._path, paths_of(target))
        left = tuple(path for path in moved if path is not None)
        if isinstance(target, str):
            return left[0] if left else None
        return left or None

    def _path(self, path: str) -> str | None:
        for owner in self.owners:
            paths = dict.fromkeys((path, *self.same.get(path, ())))
            moved = (_moved_path(one, self.edit, owner) for one in paths)
            left = next((one for one in moved if one is not None), None)
            if left is None:
                return None
            path = left
        return path


def _moved_path(path: str, edit: Edit, owner: Owner) -> str | None:
    start = f"{owner.path}." if owner.path else ""
    name, _, rest = path[len(start) :].partition(".")
    if not path.startswith(start) or not name:
        return path
    renamed = owner.renamed(name, edit)
    return None if renamed is None else join(owner.path, renamed, rest)
