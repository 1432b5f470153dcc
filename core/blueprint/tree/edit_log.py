"""Edits of the log: which parts they apply to, which they replace, how paths move."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ....config.path import join
from ....config.patterns import is_pattern, matchers
from ....config.short_text import first_names
from ..edits.edits import (
    END,
    CallMethod,
    ChangeItems,
    Edit,
    SetArguments,
    Target,
    name_in_dict,
)
from ..errors import SettingError
from .arguments import has_argument
from .construction_node import ConstructionNode


class EditIndex:
    """Finds the edits that apply to a construction, in the order of the log."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._exact: dict[str, list[tuple[int, Edit]]] = {}
        self._patterns: list[tuple[int, Edit]] = []
        for i, edit in enumerate(edits):
            if isinstance(edit.target, str) and is_pattern(edit.target):
                self._patterns.append((i, edit))
                continue
            for path in paths_of(edit.target):
                self._exact.setdefault(path, []).append((i, edit))

    def of(self, node: ConstructionNode) -> tuple[Edit, ...]:
        """Return the edits that apply to ``node``.

        Raises `SettingError` for one that applies to only some of the copies of a
        module: they are constructed once, so that they cannot differ.
        """
        edits_by_position: dict[int, Edit] = {}
        n_paths_by_position: dict[int, int] = {}
        for path in node.paths:
            for i, edit in self._of_path(path):
                edits_by_position[i] = edit
                n_paths_by_position[i] = n_paths_by_position.get(i, 0) + 1
        if node.is_copied:
            for i, n_paths in n_paths_by_position.items():
                if n_paths < len(node.paths):
                    raise _some_copies(node, edits_by_position[i])
        return tuple(edits_by_position[i] for i in sorted(edits_by_position))

    def _of_path(self, path: str) -> Iterable[tuple[int, Edit]]:
        yield from self._exact.get(path, ())
        for i, edit in self._patterns:
            if target_matches(edit.target, path):
                yield i, edit


def target_matches(target: Target, path: str) -> bool:
    """Return whether ``target`` matches ``path``."""
    if not isinstance(target, str) or not is_pattern(target):
        return path in paths_of(target)
    # The whole has no name that a pattern could match: "*" matches its children.
    return bool(path) and matchers(target)[0](path, None)


def concerning(edits: Iterable[Edit], path: str) -> list[Edit]:
    """Return the edits that may apply to the part at ``path`` or below."""
    start = path + "."
    return [
        edit
        for edit in edits
        if not isinstance(edit.target, str)
        or edit.target == path
        or edit.target.startswith(start)
        or is_pattern(edit.target)
    ]


def paths_of(target: Target) -> tuple[str, ...]:
    """Return the paths that an exact target names."""
    return (target,) if isinstance(target, str) else target


def _some_copies(node: ConstructionNode, edit: Edit) -> SettingError:
    return SettingError(
        node.path,
        f"{first_names(node.paths, 4)} are copies of one module that is constructed "
        f"once, but {edit.target!r} names only some of them. Use a pattern that "
        "matches all of them.",
    )


def replacements_by(edits: Sequence[Edit], latest: Edit) -> dict[int, Edit | None]:
    """Return the replacements of edits that ``latest`` overrides, by identity.

    A log does not grow by repetition: an edit of the same target keeps the names that
    ``latest`` does not set, and is removed if there are none. Effects of other edits in
    between do not matter, since ``latest`` overrides them as well. If a part is
    replaced, edits of paths inside it are removed; a pattern also applies to later
    parts.
    """
    if not isinstance(latest, SetArguments) or latest.wraps_at:
        return {}
    replacements: dict[int, Edit | None] = {}
    is_replacement = latest.is_replacement
    for edit in reversed(edits):
        # Edits before a part was wrapped apply to the part; the same target refers to
        # its wrapper since then.
        if _wraps(edit) and not is_replacement:
            break
        # An edit made by a call comes and goes with the call, and replaces no other.
        if edit.is_logged != latest.is_logged:
            continue
        if is_replacement and _is_inside(edit.target, latest.target):
            replacements[id(edit)] = None
        elif edit.target == latest.target and isinstance(edit, SetArguments):
            remainder = _remainder(edit, latest)
            if remainder is not edit:
                replacements[id(edit)] = remainder
    return replacements


def _wraps(edit: Edit) -> bool:
    return isinstance(edit, SetArguments) and bool(edit.wraps_at)


def _is_inside(target: Target, outer_target: Target) -> bool:
    """Return whether all paths of ``target`` are inside parts of ``outer_target``."""
    if isinstance(target, str) and is_pattern(target):
        return False
    return all(
        any(target_matches(outer_target, path[:i]) for i in ends_of_names(path))
        for path in paths_of(target)
    )


def ends_of_names(path: str) -> list[int]:
    """Return the ends of the prefixes of ``path``, the whole included."""
    ends = [i for i, character in enumerate(path) if character == "."]
    return [0, *ends] if path else []


def _remainder(earlier: SetArguments, latest: SetArguments) -> SetArguments | None:
    if latest.is_replacement:
        return None
    names = {n: v for n, v in earlier.arguments.items() if n not in latest.arguments}
    cls, keeps_arguments = earlier.cls, earlier.keeps_arguments
    if latest.cls is not None:
        names = {n: v for n, v in names.items() if has_argument(latest.cls, n)}
        # An edit that dropped the maker's arguments still does so; the class of any
        # other edit is overridden.
        if earlier.keeps_arguments:
            cls = None
    if cls is None and not names:
        return None
    if cls is earlier.cls and len(names) == len(earlier.arguments):
        return earlier
    return replace(earlier, cls=cls, arguments=names, keeps_arguments=keeps_arguments)


@dataclass(frozen=True, slots=True)
class ItemNames:
    """A list or a dict of modules at one of its paths, before it is changed."""

    path: str
    names: Sequence[str]
    """The names of its items, in order."""
    is_dict: bool

    def new_name(self, name: str, change: ChangeItems) -> str | None:
        """Return the name of item ``name`` after ``change``, None if it is removed."""
        if self.is_dict:
            # A new item replaces one with the same name.
            return None if name == name_in_dict(change, self.names) else name
        index = self._index(change)
        if index is None or not name.isdecimal():
            is_removed = change.kind == "remove" and name == change.key
            return None if is_removed else name
        number = int(name)
        if change.kind == "insert":
            return str(number + (number >= index))
        return None if number == index else str(number - (number > index))

    def _index(self, change: ChangeItems) -> int | None:
        key = change.key
        if isinstance(key, int):
            return None if key == END else key + len(self.names) * (key < 0)
        if key.isdecimal():
            return int(key)
        return self.names.index(key) if key in self.names else None


class Shift(Protocol):
    """The new paths after an edit that moves parts."""

    def replacements(self, edits: Sequence[Edit]) -> dict[int, Edit | None]:
        """Return replacements of ``edits``, by identity; None for removed ones."""
        ...

    def target_after(self, target: Target) -> Target | None:
        """Return the new name of ``target``, None if all of it is removed."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class WrapShift:
    """The new paths after parts are wrapped: they are one level deeper.

    The construction of the part does not move, since the log identifies it by order.
    Patterns keep their meaning, but equal ones follow too.
    """

    wrap: SetArguments
    paths: Sequence[str]
    """The paths of the wrapped parts."""

    def replacements(self, edits: Sequence[Edit]) -> dict[int, Edit | None]:
        """Return replacements of ``edits``, by identity; none is removed."""
        return _replacements(edits, self._target_of)

    def target_after(self, target: Target) -> Target | None:
        """Return the new name of ``target``."""
        if isinstance(target, str) and is_pattern(target):
            return target
        return self._moved_target(target, moves_place=True)

    def _target_of(self, edit: Edit) -> Target:
        target, moves_place = edit.target, not isinstance(edit, SetArguments)
        if isinstance(target, str) and is_pattern(target):
            is_same = target == self.wrap.target
            if is_same:
                return join(target, self.wrap.wraps_at) if moves_place else target
            # A pattern that begins with the path of the part refers to its content.
            return self._path(target, moves_place=False)
        return self._moved_target(target, moves_place=moves_place)

    def _moved_target(self, target: Target, *, moves_place: bool) -> Target:
        paths = tuple(self._path(p, moves_place=moves_place) for p in paths_of(target))
        return paths[0] if isinstance(target, str) else paths

    def _path(self, path: str, *, moves_place: bool) -> str:
        for wrapped_path in self.paths:
            inner_path = join(wrapped_path, self.wrap.wraps_at)
            if path == wrapped_path:
                return inner_path if moves_place else path
            if path.startswith(wrapped_path + "."):
                return inner_path + path[len(wrapped_path) :]
        return path


@dataclass(frozen=True, slots=True, eq=False)
class PathShift:
    """The new paths after an edit of lists and dicts.

    Patterns keep their meaning; a path moves with its item, and is removed with it,
    unless the same module remains in another place.
    """

    change: ChangeItems
    item_names: Sequence[ItemNames]
    other_paths: Mapping[str, Sequence[str]]
    """The paths of each module that has several, by each of them."""

    def replacements(self, edits: Sequence[Edit]) -> dict[int, Edit | None]:
        """Return replacements of ``edits``, by identity; None for removed ones."""
        return _replacements(edits, lambda edit: self.target_after(edit.target))

    def target_after(self, target: Target) -> Target | None:
        """Return the new name of ``target``, None if all of it is removed."""
        if isinstance(target, str) and is_pattern(target):
            return target
        moved_paths = map(self._path, paths_of(target))
        remaining = tuple(path for path in moved_paths if path is not None)
        if isinstance(target, str):
            return remaining[0] if remaining else None
        return remaining or None

    def _path(self, path: str) -> str | None:
        for items in self.item_names:
            paths = dict.fromkeys((path, *self.other_paths.get(path, ())))
            moved_paths = (
                _path_after(same_path, self.change, items) for same_path in paths
            )
            moved_path = next((p for p in moved_paths if p is not None), None)
            if moved_path is None:
                return None
            path = moved_path
        return path


def _path_after(path: str, change: ChangeItems, items: ItemNames) -> str | None:
    prefix = f"{items.path}." if items.path else ""
    name, _, below_item = path[len(prefix) :].partition(".")
    if not path.startswith(prefix) or not name:
        return path
    renamed = items.new_name(name, change)
    return None if renamed is None else join(items.path, renamed, below_item)


def _replacements(
    edits: Sequence[Edit], target_of: Callable[[Edit], Target | None]
) -> dict[int, Edit | None]:
    """Return the edits whose targets have changed, by identity of the old ones."""
    replacements: dict[int, Edit | None] = {}
    for edit in edits:
        # It runs at its position in the log, on the part at its path before this
        # change.
        if isinstance(edit, CallMethod) and edit.is_at_once:
            continue
        target = target_of(edit)
        if target is None:
            replacements[id(edit)] = None
        elif target != edit.target:
            replacements[id(edit)] = replace(edit, target=target)
    return replacements
