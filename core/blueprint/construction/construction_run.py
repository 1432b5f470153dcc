"""One run of the constructors of a blueprint, in which its edits take place."""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from ....config.path import join
from ...modules.signature import spread
from ...modules.tree import places_of
from ..edits.edits import END, Call, Edit, Entry, build_inside, name_in_dict
from ..errors import NotRepeatedError, SettingError
from ..tree.arguments import Arguments, bind, fold
from ..tree.construction_node import Made, described
from ..tree.infer_sizes import missing_sizes, stand_ins
from ..tree.module_values import resolved
from .forward_hooks import Logs
from .init_hooks import Init, watcher

MARK = "_burnish_made"
"""Where a module keeps which construction made it, also in its copies."""

_serials = itertools.count()


class Frame:
    """A constructor that is running, as one run sees it."""

    __slots__ = ("edits", "expected", "made")

    def __init__(self, made: Made, expected: Made | None) -> None:
        self.made, self.expected = made, expected
        self.edits: list[tuple[nn.Module, Edit]] = []


class Run:
    """What one blueprint sees of a run; several, if some are built inside of others."""

    def __init__(self, expected: Made) -> None:
        """Expect ``expected``, at the root; its plan tells what is to be changed."""
        self.expected = expected
        holder = Made(nn.Module, kids=[expected])
        self.frames = [Frame(Made(nn.Module), holder)]
        self.by_serial: dict[int, Made] = {}

    @property
    def root(self) -> Made:
        """What was made first."""
        return self.frames[0].made.kids[0]

    def enter(self, cls: type[nn.Module], serial: int) -> Frame:
        """Return the frame of the construction that begins."""
        outer = self.frames[-1]
        index = len(outer.made.kids)
        made = Made(cls, cls=cls)
        outer.made.kids.append(made)
        expected = None
        if outer.expected is not None and index < len(outer.expected.kids):
            expected = outer.expected.kids[index]
            if expected.asked is cls:
                made.plan = expected.plan
            else:
                expected = None
        frame = Frame(made, expected)
        self.frames.append(frame)
        self.by_serial[serial] = made
        return frame

    def place(self, module: nn.Module, first: int) -> None:
        """Note where everything that was made ended, from ``module`` on.

        Raises `NotRepeatedError` for what was made before ``first``, in another run.
        """
        prefix, rank = self.expected.path, self.expected.rank
        places: dict[int, list[tuple[str, tuple[int, ...]]]] = {}
        bodies: dict[int, set[int]] = {}
        ranks: dict[str, tuple[int, ...]] = {}
        n_kids: dict[str, int] = {}
        for before, part in places_of(module):
            path = before[:-1]
            above = path.rpartition(".")[0]
            n_kids[above] = index = n_kids.get(above, -1) + 1
            ranks[path] = (*ranks.get(above, rank), index) if path else rank
            serial = part.__dict__.get(MARK, first)
            if serial < first:
                raise NotRepeatedError(join(prefix, path), _OLD)
            if serial in self.by_serial:
                places.setdefault(serial, []).append((join(prefix, path), ranks[path]))
                bodies.setdefault(serial, set()).add(id(part))
        for serial, found in places.items():
            made = self.by_serial[serial]
            made.paths = tuple(path for path, _ in found)
            made.ranks = tuple(rank for _, rank in found)
            made.is_copied = len(bodies[serial]) > 1


class Constructions:
    """The constructions of a thread, as all runs in progress see them."""

    def __init__(self, *, is_described: bool) -> None:
        """Note arguments too, if ``is_described``."""
        self.runs: list[Run] = []
        self.first = next(_serials)
        """Below it are the constructions of earlier runs."""
        self.seen: set[type[nn.Module]] = set()
        self.unknown: set[type[nn.Module]] = set()
        self.failed: list[Frame] = []
        """The constructors that were running when one of them raised."""
        self.modules: list[nn.Module] = []
        """Everything that was constructed."""
        self.logs = Logs()
        """Where this blueprint logs, and those inside of it."""
        self._is_described = is_described
        self._modules: list[nn.Module | None] = [None]

    def is_constructing(self, module: nn.Module) -> bool:
        """Return whether the constructor of ``module`` is the innermost running."""
        return self._modules[-1] is module

    def meet(self, module: nn.Module) -> None:
        """Take note of a module whose constructor was not watched."""
        module.__dict__[MARK] = next(_serials)
        self.unknown.add(type(module))

    def within(self, run: Run, make: Callable[[], nn.Module]) -> nn.Module:
        """Return what ``make`` makes as ``run`` has it, inside of the other runs."""
        self.runs.append(run)
        self._modules.append(None)
        try:
            return make()
        finally:
            self._modules.pop()
            self.runs.pop()

    def construct(
        self,
        init: Init,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Run ``init`` on ``module``, or what the runs make of it."""
        cls, serial = type(module), next(_serials)
        self.seen.add(cls)
        module.__dict__[MARK] = serial
        self.modules.append(module)
        frames = [run.enter(cls, serial) for run in self.runs]
        self._modules.append(module)
        done = False
        try:
            # What stands nearest to the root comes last, and wins.
            plan = [entry for frame in reversed(frames) for entry in frame.made.plan]
            if self._is_described or plan or len(self.runs[-1].frames) == 2:
                self._init(init, module, bind(cls, args, kwargs), frames, plan)
            else:
                init(module, *args, **kwargs)
            self._finish(module, frames, plan)
            done = True
        finally:
            if done:
                self.failed.clear()
            elif not self.failed:
                self.failed = self.runs[0].frames[1:]
            self._modules.pop()
            for run in self.runs:
                run.frames.pop()

    def _init(
        self,
        init: Init,
        module: nn.Module,
        given: Arguments,
        frames: list[Frame],
        plan: list[Entry],
    ) -> None:
        is_root = len(self.runs[-1].frames) == 2
        folded = fold(type(module), given, plan)
        arguments = folded.arguments
        if self._is_described:
            arguments = self._describe(frames, given, folded.cls, arguments)
        if folded.cls is not type(module):
            module.__class__ = folded.cls
            init = folded.cls.__init__
        made = {
            name: resolved(value) if is_root or name in folded.sources else value
            for name, value in arguments.items()
        }
        args, kwargs = spread(folded.cls, made)
        init(module, *args, **kwargs)

    def _describe(
        self,
        frames: list[Frame],
        given: Arguments,
        cls: type[nn.Module],
        arguments: Arguments,
    ) -> Arguments:
        sizes = missing_sizes(cls, arguments)
        told, passed = described(arguments), described(given)
        below: tuple[Entry, ...] = ()
        for frame in reversed(frames):
            made = frame.made
            made.given, made.cls, made.arguments = passed, cls, told
            made.missing, made.below = sizes, below
            below += made.plan
        return arguments | stand_ins(cls, arguments) if sizes else arguments

    def _finish(
        self, module: nn.Module, frames: list[Frame], plan: Iterable[Entry]
    ) -> None:
        """Run what comes after the constructor: calls, and changes of its lists."""
        for entry in plan:
            if isinstance(entry, Call) and entry.moment == "after_init":
                entry.function(module, *entry.args, **entry.kwargs)
        for run, frame in zip(self.runs, frames, strict=True):
            edits = [e for e in frame.made.plan if isinstance(e, Edit)]
            if len(run.frames) == 2:
                frame.edits += [(module, edit) for edit in edits]
            else:
                run.frames[-2].edits += [(module, edit) for edit in edits]
            for owner, edit in frame.edits:
                apply_edit(owner, edit)

    def unmark(self, module: nn.Module) -> None:
        """Take the marks off all that was constructed, and off its copies in it."""
        for part in (*self.modules, *module.modules()):
            part.__dict__.pop(MARK, None)


_OLD = (
    "was made by an earlier run of the constructors and is used again. Make modules "
    "in __init__, and keep none in a class or a global."
)


def constructions() -> Constructions | None:
    """Return the constructions of this thread, None if no blueprint is building."""
    found = watcher()
    return found if isinstance(found, Constructions) else None


LISTS = (nn.ModuleList, nn.Sequential)
"""Whose items are numbered."""


def apply_edit(owner: nn.Module, edit: Edit) -> None:
    """Change ``owner``, a list or a dict of modules, as ``edit`` says."""
    path = edit.target if isinstance(edit.target, str) else str(edit.target)
    if isinstance(owner, nn.ModuleDict):
        _apply_to_dict(owner, edit, path)
    elif isinstance(owner, LISTS):
        _apply_to_list(owner, edit, path)
    else:
        name = type(owner).__qualname__
        raise SettingError(
            path, f"only lists and dicts of modules have items, found a {name}."
        )


def _apply_to_dict(owner: nn.ModuleDict, edit: Edit, path: str) -> None:
    key = name_in_dict(edit, list(owner))
    if key is None:
        there = f"A dict has names, not positions; there are {list(owner)}."
        how = " insert('name', item) says which." if edit.kind == "insert" else ""
        raise SettingError(path, f"{edit.kind} where? {there}{how}")
    if edit.kind == "insert":
        owner[key] = _item(edit)
        return
    if key not in owner:
        raise SettingError(path, f"no item {key!r}; there are {list(owner)}.")
    del owner[key]


def _item(edit: Edit) -> nn.Module:
    if edit.item is None:
        raise SettingError(str(edit.target), f"{edit.kind} needs an item.")
    return build_inside(edit.item)


def _apply_to_list(owner: Any, edit: Edit, path: str) -> None:
    items: list[tuple[str, nn.Module]] = list(owner._modules.items())
    index = _index(edit, [name for name, _ in items], path)
    if edit.kind == "remove":
        del items[index]
    else:
        items.insert(index, ("", _item(edit)))
    # Names that are numbers count again; those that are words stay.
    named = ((str(i) if _is_number(n) else n, m) for i, (n, m) in enumerate(items))
    owner._modules = OrderedDict(named)


def _index(edit: Edit, names: list[str], path: str) -> int:
    """Return the place in the list that ``edit`` means."""
    size = len(names)
    if isinstance(edit.key, str):
        if edit.key not in names:
            raise SettingError(path, f"no item {edit.key!r}; there are {names}.")
        return names.index(edit.key)
    last = size if edit.kind == "insert" else size - 1
    if edit.kind == "insert" and edit.key == END:
        return size
    index = edit.key + size if edit.key < 0 else edit.key
    if not 0 <= index <= last:
        raise SettingError(path, f"no item {edit.key}; it has {size} items.")
    return index


def _is_number(name: str) -> bool:
    return not name or name.isdecimal()
