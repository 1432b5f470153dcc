"""A blueprint's tree and tape, which change together or not at all."""

import operator
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

from torch import nn

from ....config.path import is_pattern, nearest
from ..edits.edits import Call, Definition, Edit, Entry, Setting, Tap, Target, replaced
from ..edits.selector import children
from ..errors import SettingError
from ..tree.arguments import Arguments, check, check_name, fold_made, missing
from ..tree.construction_node import Made, described, is_repeatable
from ..tree.edit_log import (
    Owner,
    Plans,
    Shift,
    concerning,
    matches,
    paths_of,
    superseded,
)
from ..tree.infer_sizes import missing_sizes
from .dry_run import Leaves, settled


class Draft:
    """What is to be built: the tree of constructions, and what changes them."""

    def __init__(self, cls: type[nn.Module], given: Arguments) -> None:
        self.entries: list[Entry] = []
        self.given = given
        self.known: set[type[nn.Module]] = {cls}
        self.is_stale = False
        """Whether a maker may have seen its parts change since the tree was made."""
        self.tree = Made(
            cls, given=given, cls=cls, arguments=given, paths=("",), ranks=((),)
        )
        self.is_complete = False
        """Whether the arguments of the root suffice to construct it."""
        self.shifts: tuple[Shift, ...] = ()
        """How paths moved by changes of lists, so that selections follow them."""
        self._places: dict[str, Made] | None = None
        self._closed: dict[str, int] | None = None
        """How many places are below each, for those that have some."""
        self._matched: dict[Target, list[Made]] = {}
        self._leaves = Leaves()
        self._settle_if_complete(self.tree, [])

    def copy(self) -> "Draft":
        """Return the same, to be changed without changing this."""
        draft = Draft.__new__(Draft)
        draft.__dict__.update(self.__dict__)
        draft.entries, draft.known = list(self.entries), set(self.known)
        draft.tree = self.tree.copy()
        draft._places = draft._closed = None
        draft._matched, draft._leaves = {}, Leaves()
        return draft

    def become(self, other: "Draft") -> None:
        """Take over all of ``other``, which is not used any more."""
        self.__dict__.update(other.__dict__)

    @property
    def definition(self) -> Definition:
        """What was told so far: the class, its arguments and the log."""
        return Definition(self.tree.asked, self.given, tuple(self.entries))

    @property
    def places(self) -> dict[str, Made]:
        """The construction at each path, in the order of the module."""
        if self._places is None:
            found = [
                (rank, path, made)
                for made in self.tree.walk()
                for path, rank in zip(made.paths, made.ranks, strict=True)
            ]
            found.sort(key=operator.itemgetter(0))
            self._places = {path: made for _, path, made in found}
        return self._places

    def match(self, target: Target) -> list[Made]:
        """Return the constructions that ``target`` means, in the order of the tree."""
        found = self._matched.get(target)
        if found is None:
            found = self._matched[target] = self._match(target)
        return found

    def matched(self, target: Target) -> list[Made]:
        """Return what `match` does, after looking again if there is nothing."""
        found = self.match(target)
        if not found and self.is_stale:
            self.refresh()
            found = self.match(target)
        return found

    def add(self, entry: Entry, *, allow_empty: bool = False) -> None:
        """Take ``entry`` in, or raise and change nothing."""
        made = self.matched(entry.target)
        if not made and not allow_empty:
            raise self.nothing_at(entry.target)
        shifts = [self._shift(entry, made)] if _moves(entry) else []
        old = superseded(self.entries, entry)
        for shift in shifts:
            old = shift.changes(self.entries)
        entries = [*replaced(self.entries, old), entry] if old else None
        later = isinstance(entry, Tap) or (
            isinstance(entry, Call) and entry.moment != "after_init"
        )
        if later or not made:
            self._take(entries, entry)
        elif not self._add_to_leaves(made, old, entry):
            self._settle_with(made, old, entry, entries or [*self.entries, entry])
        else:
            self._take(entries, entry)
        self.shifts = (*self.shifts, *shifts)

    def add_all(self, entries: Sequence[Entry], *, allow_empty: bool = False) -> None:
        """Take in ``entries``, of which the first makes room for the others."""
        if len(entries) == 1:
            self.add(entries[0], allow_empty=allow_empty)
            return
        draft = self.copy()
        draft.add(entries[0], allow_empty=allow_empty)
        for entry in entries[1:]:
            draft.add(entry)
        self.become(draft)

    def replay(self, entries: Sequence[Entry]) -> None:
        """Take in entries that were good together, without the steps between.

        They are called as they were after the last of them, so that a change of a
        list moves only what calls have asked for meanwhile, and that if it is first.
        """
        if not entries:
            return
        draft, first = self.copy(), entries[0]
        if isinstance(first, Edit):
            shift = self._shift(first, self.matched(first.target))
            again = [entry for entry in self.entries if not entry.on_tape]
            draft.entries = replaced(self.entries, shift.changes(again))
            draft.shifts = (*self.shifts, shift)
        draft.entries += entries
        draft._settle_if_complete(draft.tree, draft.entries)
        for entry in (e for e in entries if isinstance(e, Setting)):
            for made in draft.match(entry.target):
                check(fold_made(made, made.plan), made.path, entry)
        self.become(draft)

    def refresh(self) -> None:
        """Run the constructors again, where makers may have seen their parts change."""
        if self.is_stale:
            self._adopt(settled(self.tree.copy(), self.entries, self.known))

    def nothing_at(self, target: Target) -> SettingError:
        """Return the error for a path or pattern that means nothing."""
        shown = (
            target if isinstance(target, str) else ", ".join(target) or "the selection"
        )
        if not target and not isinstance(target, str):
            return SettingError(
                shown,
                "no module is constructed there: nothing was selected, or what was "
                "has been taken out of its list. Select again. "
                "allow_empty=True permits it.",
            )
        near = nearest(shown, self.places)
        hint = f" Did you mean {near!r}?" if near else ""
        kids = [p for p in self.places if p and "." not in p]
        there = ", ".join(kids[:12]) or "nothing"
        kind = "pattern" if is_pattern(shown) else "path"
        ready = "" if is_repeatable(self.tree.arguments) else _READY
        return SettingError(
            shown,
            f"no module is constructed at this {kind}.{hint} "
            f"At the top there are: {there}.{ready} allow_empty=True permits it.",
        )

    def _match(self, target: Target) -> list[Made]:
        if isinstance(target, str) and is_pattern(target):
            hit = (m for path, m in self.places.items() if matches(target, path))
        else:
            hit = (self.places[p] for p in paths_of(target) if p in self.places)
        return list(dict.fromkeys(hit))

    def _take(self, entries: list[Entry] | None, entry: Entry) -> None:
        if entries is None:
            self.entries.append(entry)
        else:
            self.entries = entries

    def _add_to_leaves(
        self, matched: list[Made], old: dict[int, Entry | None], entry: Entry
    ) -> bool:
        """Change constructions that make no others in place; False if some do."""
        if not isinstance(entry, Setting) or not self.is_complete:
            return False
        alike: dict[Any, Made | None] = {}
        changes: list[Made] = []
        for made in matched:
            # Equal layers share what was found out for the first of them.
            key = (made.asked, id(made.plan), id(made.given), made.below)
            if key not in alike:
                alike[key] = self._leaves.changed(made, old, entry)
            changed = alike[key]
            if changed is None or made.kids or made.is_copied:
                return False
            changes.append(changed)
        for made, changed in zip(matched, changes, strict=True):
            made.plan, made.given, made.cls = changed.plan, changed.given, changed.cls
            made.arguments, made.missing = changed.arguments, changed.missing
        self.is_stale = self.is_stale or matched != [self.tree]
        return True

    def _settle_with(
        self,
        matched: list[Made],
        old: dict[int, Entry | None],
        entry: Entry,
        entries: list[Entry],
    ) -> None:
        """Construct again what changes, and keep it if all went well."""
        for made in matched:
            if isinstance(entry, Setting):
                plan = (*replaced(made.plan, old), entry)
                check(fold_made(made, plan), made.path, entry)
        # A list is changed once its owner has filled it.
        changed = self._owners(matched) if isinstance(entry, Edit) else matched
        unit = self._unit(changed)
        copy = unit.copy()
        if unit is self.tree:
            self._settle_if_complete(copy, entries)
        else:
            found = settled(copy, concerning(entries, unit.path), self.known)
            _check_names(found)
            self._graft(unit, found)
        self.entries = entries

    def _settle_if_complete(self, tree: Made, entries: list[Entry]) -> None:
        folded = fold_made(tree, Plans(entries).of(tree))
        sizes = missing_sizes(folded.cls, folded.arguments)
        self.is_complete = not missing(folded.cls, [*folded.arguments, *sizes])
        if self.is_complete:
            tree = settled(tree, entries, self.known)
        else:
            tree.cls, tree.arguments = folded.cls, described(folded.arguments)
        self._adopt(tree)

    def _adopt(self, tree: Made) -> None:
        _check_names(tree)
        self.tree, self.is_stale = tree, False
        self._places = self._closed = None
        self._matched = {}

    def _shift(self, edit: Edit, matched: list[Made]) -> Shift:
        several = (made.paths for made in self.tree.walk() if len(made.paths) > 1)
        same = {path: paths for paths in several for path in paths}
        return Shift(edit, list(self._owners_of_items(matched)), same)

    def _owners_of_items(self, matched: list[Made]) -> Iterator[Owner]:
        tree = [*self.places]
        for made in matched:
            for path in made.paths:
                names = [kid.rpartition(".")[2] for kid in children(tree, path)]
                yield Owner(path, names, issubclass(made.cls, nn.ModuleDict))

    def _owners(self, matched: list[Made]) -> list[Made]:
        chosen = {id(made) for made in matched}
        makers = [m for m in self.tree.walk() if any(id(k) in chosen for k in m.kids)]
        return makers if len(makers) == len(matched) else [self.tree]

    def _unit(self, matched: list[Made]) -> Made:
        """Return what has to be constructed again when ``matched`` change.

        That is a part that can be, or everything.
        """
        if len(matched) != 1 or len(matched[0].paths) != 1 or matched[0].is_copied:
            return self.tree
        unit = matched[0]
        if not is_repeatable(unit.given) or unit.below or unit is self.tree:
            return self.tree
        return unit if self._is_closed(unit) else self.tree

    def _is_closed(self, unit: Made) -> bool:
        """Return whether all that ``unit`` made is below it, and nothing else is."""
        if self._closed is None:
            self._closed = {}
            for path in self.places:
                for end in (i for i, mark in enumerate(path) if mark == "."):
                    above = path[:end]
                    self._closed[above] = self._closed.get(above, 0) + 1
        below = unit.path + "."
        paths = [p for made in unit.walk() if made is not unit for p in made.paths]
        is_inside = all(path.startswith(below) for path in paths)
        return is_inside and self._closed.get(unit.path, 0) == len(paths)

    def _graft(self, unit: Made, found: Made) -> None:
        """Let ``unit`` be as ``found`` was made in its place."""
        before = [path for made in unit.walk() for path in made.paths]
        for name in ("kids", "plan", "below", "cls", "arguments", "missing"):
            setattr(unit, name, getattr(found, name))
        self.is_stale, self._matched = True, {}
        if before == [path for made in unit.walk() for path in made.paths]:
            for made in unit.walk():
                self.places.update(dict.fromkeys(made.paths, made))
        else:
            self._places = self._closed = None


def _moves(entry: Entry) -> TypeGuard[Edit]:
    """Return whether items of lists have other names after ``entry``."""
    return isinstance(entry, Edit) and not entry.has_moved


def _check_names(tree: Made) -> None:
    """Raise `SettingError` where a maker now chooses a class that lacks an argument.

    By hand the class would refuse it; left out, a setting would be lost unnoticed.
    """
    for made in tree.walk():
        if made.plan:
            folded = fold_made(made, made.plan)
            for name in folded.sources:
                check_name(folded.cls, name, made.path)


_READY = " A module that is passed ready-made stays as it is: pass a Blueprint."


def missing_of(draft: Draft) -> dict[str, tuple[str, ...]]:
    """Return the sizes that only an example can tell, by path."""
    return {m.path: m.missing for m in draft.tree.walk() if m.missing and m.paths}
