"""Edits of the log: whom they concern, which they replace, how paths follow items."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ....config.path import is_pattern, join, matchers
from ..edits.edits import END, Edit, Entry, Setting, Target, name_in_dict
from ..errors import SettingError
from .arguments import takes
from .construction_node import Made


class Plans:
    """Tells what is to be changed at each place, in the order in which it was asked."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._exact: dict[str, list[tuple[int, Entry]]] = {}
        self._patterns: list[tuple[int, Entry]] = []
        for i, entry in enumerate(entries):
            if isinstance(entry.target, str) and is_pattern(entry.target):
                self._patterns.append((i, entry))
                continue
            for path in paths_of(entry.target):
                self._exact.setdefault(path, []).append((i, entry))

    def of(self, made: Made) -> tuple[Entry, ...]:
        """Return the entries that concern ``made``.

        Raises `SettingError` for one that concerns some of the copies of a module only.
        """
        found: dict[int, Entry] = {}
        reached: dict[int, int] = {}
        for path in made.paths:
            for i, entry in self._of_path(path):
                found[i] = entry
                reached[i] = reached.get(i, 0) + 1
        if made.is_copied:
            for i, n_paths in reached.items():
                if n_paths < len(made.paths):
                    raise _some_copies(made, found[i])
        return tuple(found[i] for i in sorted(found))

    def _of_path(self, path: str) -> Iterable[tuple[int, Entry]]:
        yield from self._exact.get(path, ())
        for i, entry in self._patterns:
            if matches(entry.target, path):
                yield i, entry


def matches(target: Target, path: str) -> bool:
    """Return whether ``target`` means ``path``."""
    if not isinstance(target, str) or not is_pattern(target):
        return path in paths_of(target)
    return matchers(target)[0](path, None)


def concerning(entries: Iterable[Entry], path: str) -> list[Entry]:
    """Return the entries that may concern what is at ``path`` or below."""
    start = path + "."
    return [
        entry
        for entry in entries
        if not isinstance(entry.target, str)
        or entry.target == path
        or entry.target.startswith(start)
        or is_pattern(entry.target)
    ]


def paths_of(target: Target) -> tuple[str, ...]:
    """Return the paths that an exact target names."""
    return (target,) if isinstance(target, str) else target


def _some_copies(made: Made, entry: Entry) -> SettingError:
    shown = ", ".join(made.paths[:4]) + (", ..." if len(made.paths) > 4 else "")
    return SettingError(
        made.path,
        f"{shown} are copies of one module that is constructed once, and "
        f"{entry.target!r} means only some of them. Use a pattern that means all.",
    )


def superseded(entries: Sequence[Entry], new: Entry) -> dict[int, Entry | None]:
    """Return what becomes of the entries that ``new`` overrides, by their identity.

    An entry of the same target keeps the names that ``new`` does not set; without any
    it goes. Whatever stands between them is overridden by ``new`` anyhow.
    """
    if not isinstance(new, Setting):
        return {}
    changed: dict[int, Entry | None] = {}
    for entry in entries:
        if not isinstance(entry, Setting) or entry.target != new.target:
            continue
        if entry.on_tape != new.on_tape:
            continue
        left = _left_of(entry, new)
        if left is not entry:
            changed[id(entry)] = left
    return changed


def _left_of(old: Setting, new: Setting) -> Setting | None:
    if new.cls is not None and not new.keep:
        return None
    names = {n: v for n, v in old.arguments.items() if n not in new.arguments}
    cls, keep = old.cls, old.keep
    if new.cls is not None:
        names = {n: v for n, v in names.items() if takes(new.cls, n)}
        # What replaced the maker's arguments altogether still does.
        cls, keep = (None, True) if old.keep else (old.cls, old.keep)
    if cls is None and not names:
        return None
    if cls is old.cls and len(names) == len(old.arguments):
        return old
    return replace(old, cls=cls, arguments=names, keep=keep)


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
