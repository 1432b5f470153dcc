"""One run of the constructors of a blueprint, in which its edits take place."""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from ....config.path import join
from ...modules.signature import spread
from ...modules.tree import places_of
from ..edits.edits import END, CallMethod, ChangeItems, Edit, build_inside, name_in_dict
from ..errors import NotRepeatedError, SettingError
from ..tree.arguments import Arguments, bind, edited_call
from ..tree.construction_node import ConstructionNode, describe_value
from ..tree.infer_sizes import missing_sizes, placeholder_sizes
from ..tree.module_values import build_values
from .forward_hooks import Logs
from .init_hooks import Init, current_observer

SERIAL = "_burnish_made"
"""Where a module keeps which construction made it, also in its copies."""

_serials = itertools.count()


class Frame:
    """A constructor that is running, as one run sees it."""

    __slots__ = ("expected", "item_changes", "node")

    def __init__(
        self, node: ConstructionNode, expected: ConstructionNode | None
    ) -> None:
        self.node, self.expected = node, expected
        self.item_changes: list[tuple[nn.Module, ChangeItems]] = []


class ConstructionRun:
    """What one blueprint sees of a run; several, if some are built inside of others."""

    def __init__(self, expected: ConstructionNode) -> None:
        """Expect ``expected``, at the root; its plan tells what is to be changed."""
        self.expected = expected
        holder = ConstructionNode(nn.Module, children=[expected])
        self.frames = [Frame(ConstructionNode(nn.Module), holder)]
        self.by_serial: dict[int, ConstructionNode] = {}

    @property
    def root(self) -> ConstructionNode:
        """What was made first."""
        return self.frames[0].node.children[0]

    def enter(self, cls: type[nn.Module], serial: int) -> Frame:
        """Return the frame of the construction that begins."""
        outer_frame = self.frames[-1]
        index = len(outer_frame.node.children)
        node = ConstructionNode(cls, cls=cls)
        outer_frame.node.children.append(node)
        expected = None
        if outer_frame.expected is not None and index < len(
            outer_frame.expected.children
        ):
            expected = outer_frame.expected.children[index]
            if expected.original_cls is cls:
                node.edits = expected.edits
            else:
                expected = None
        frame = Frame(node, expected)
        self.frames.append(frame)
        self.by_serial[serial] = node
        return frame

    def place(self, module: nn.Module, first_serial: int) -> None:
        """Note where everything that was made ended, from ``module`` on.

        Raises `NotRepeatedError` for what was made before ``first``, in another run.
        """
        prefix, rank = self.expected.path, self.expected.rank
        ends_by_serial: dict[int, list[tuple[str, tuple[int, ...]]]] = {}
        module_ids: dict[int, set[int]] = {}
        ranks: dict[str, tuple[int, ...]] = {}
        n_children: dict[str, int] = {}
        for prefix_with_dot, part in places_of(module):
            path = prefix_with_dot[:-1]
            parent_path = path.rpartition(".")[0]
            n_children[parent_path] = index = n_children.get(parent_path, -1) + 1
            ranks[path] = (*ranks.get(parent_path, rank), index) if path else rank
            serial = part.__dict__.get(SERIAL, first_serial)
            if serial < first_serial:
                raise NotRepeatedError(join(prefix, path), _FROM_EARLIER_RUN)
            if serial in self.by_serial:
                ends_by_serial.setdefault(serial, []).append(
                    (join(prefix, path), ranks[path])
                )
                module_ids.setdefault(serial, set()).add(id(part))
        for serial, ends in ends_by_serial.items():
            node = self.by_serial[serial]
            node.paths = tuple(path for path, _ in ends)
            node.ranks = tuple(rank for _, rank in ends)
            node.is_copied = len(module_ids[serial]) > 1


class ConstructionRuns:
    """The constructions of a thread, as all runs in progress see them."""

    def __init__(self, *, is_described: bool) -> None:
        """Note arguments too, if ``is_described``."""
        self.active: list[ConstructionRun] = []
        self.first_serial = next(_serials)
        """Below it are the constructions of earlier runs."""
        self.hooked_classes: set[type[nn.Module]] = set()
        self.unhooked_classes: set[type[nn.Module]] = set()
        self.failed_frames: list[Frame] = []
        """The constructors that were running when one of them raised."""
        self.modules: list[nn.Module] = []
        """Everything that was constructed."""
        self.logs = Logs()
        """Where this blueprint logs, and those inside of it."""
        self._is_described = is_described
        self._running: list[nn.Module | None] = [None]

    def is_constructing(self, module: nn.Module) -> bool:
        """Return whether the constructor of ``module`` is the innermost running."""
        return self._running[-1] is module

    def note_unhooked(self, module: nn.Module) -> None:
        """Take note of a module whose constructor was not watched."""
        module.__dict__[SERIAL] = next(_serials)
        self.unhooked_classes.add(type(module))

    def call_within(
        self, run: ConstructionRun, construct: Callable[[], nn.Module]
    ) -> nn.Module:
        """Return what ``make`` makes as ``run`` has it, inside of the other runs."""
        self.active.append(run)
        self._running.append(None)
        try:
            return construct()
        finally:
            self._running.pop()
            self.active.pop()

    def construct(
        self,
        init: Init,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Run ``init`` on ``module``, or what the runs make of it."""
        cls, serial = type(module), next(_serials)
        self.hooked_classes.add(cls)
        module.__dict__[SERIAL] = serial
        self.modules.append(module)
        frames = [run.enter(cls, serial) for run in self.active]
        self._running.append(module)
        has_finished = False
        try:
            # What stands nearest to the root comes last, and wins.
            edits = [edit for frame in reversed(frames) for edit in frame.node.edits]
            if self._is_described or edits or len(self.active[-1].frames) == 2:
                self._call_init(init, module, bind(cls, args, kwargs), frames, edits)
            else:
                init(module, *args, **kwargs)
            self._edit_result(module, frames, edits)
            has_finished = True
        finally:
            if has_finished:
                self.failed_frames.clear()
            elif not self.failed_frames:
                self.failed_frames = self.active[0].frames[1:]
            self._running.pop()
            for run in self.active:
                run.frames.pop()

    def _call_init(
        self,
        init: Init,
        module: nn.Module,
        passed_arguments: Arguments,
        frames: list[Frame],
        edits: list[Edit],
    ) -> None:
        is_root = len(self.active[-1].frames) == 2
        call = edited_call(type(module), passed_arguments, edits)
        arguments = call.arguments
        if self._is_described:
            arguments = self._describe_arguments(
                frames, passed_arguments, call.cls, arguments
            )
        if call.cls is not type(module):
            module.__class__ = call.cls
            init = call.cls.__init__
        values = {
            name: build_values(value) if is_root or name in call.sources else value
            for name, value in arguments.items()
        }
        args, kwargs = spread(call.cls, values)
        init(module, *args, **kwargs)

    def _describe_arguments(
        self,
        frames: list[Frame],
        passed_arguments: Arguments,
        cls: type[nn.Module],
        arguments: Arguments,
    ) -> Arguments:
        sizes = missing_sizes(cls, arguments)
        described_arguments, described_passed = (
            describe_value(arguments),
            describe_value(passed_arguments),
        )
        outer_edits: tuple[Edit, ...] = ()
        for frame in reversed(frames):
            node = frame.node
            node.passed_arguments, node.cls, node.arguments = (
                described_passed,
                cls,
                described_arguments,
            )
            node.missing_sizes, node.inner_edits = sizes, outer_edits
            outer_edits += node.edits
        return arguments | placeholder_sizes(cls, arguments) if sizes else arguments

    def _edit_result(
        self, module: nn.Module, frames: list[Frame], edits: Iterable[Edit]
    ) -> None:
        """Run what comes after the constructor: calls, and changes of its lists."""
        for edit in edits:
            if isinstance(edit, CallMethod) and edit.moment == "after_init":
                edit.function(module, *edit.args, **edit.kwargs)
        for run, frame in zip(self.active, frames, strict=True):
            item_changes = [
                edit for edit in frame.node.edits if isinstance(edit, ChangeItems)
            ]
            if len(run.frames) == 2:
                frame.item_changes += [
                    (module, item_change) for item_change in item_changes
                ]
            else:
                run.frames[-2].item_changes += [
                    (module, item_change) for item_change in item_changes
                ]
            for owner, item_change in frame.item_changes:
                apply_edit(owner, item_change)

    def unmark(self, module: nn.Module) -> None:
        """Take the marks off all that was constructed, and off its copies in it."""
        for part in (*self.modules, *module.modules()):
            part.__dict__.pop(SERIAL, None)


_FROM_EARLIER_RUN = (
    "was made by an earlier run of the constructors and is used again. Make modules "
    "in __init__, and keep none in a class or a global."
)


def current_runs() -> ConstructionRuns | None:
    """Return the constructions of this thread, None if no blueprint is building."""
    observer = current_observer()
    return observer if isinstance(observer, ConstructionRuns) else None


LISTS = (nn.ModuleList, nn.Sequential)
"""Whose items are numbered."""


def apply_edit(owner: nn.Module, item_change: ChangeItems) -> None:
    """Change ``owner``, a list or a dict of modules, as ``edit`` says."""
    path = (
        item_change.target
        if isinstance(item_change.target, str)
        else str(item_change.target)
    )
    if isinstance(owner, nn.ModuleDict):
        _apply_to_dict(owner, item_change, path)
    elif isinstance(owner, LISTS):
        _apply_to_list(owner, item_change, path)
    else:
        name = type(owner).__qualname__
        raise SettingError(
            path, f"only lists and dicts of modules have items, found a {name}."
        )


def _apply_to_dict(owner: nn.ModuleDict, item_change: ChangeItems, path: str) -> None:
    key = name_in_dict(item_change, list(owner))
    if key is None:
        names_text = f"A dict has names, not positions; there are {list(owner)}."
        cure = (
            " insert('name', item) says which." if item_change.kind == "insert" else ""
        )
        raise SettingError(path, f"{item_change.kind} where? {names_text}{cure}")
    if item_change.kind == "insert":
        owner[key] = _item(item_change)
        return
    if key not in owner:
        raise SettingError(path, f"no item {key!r}; there are {list(owner)}.")
    del owner[key]


def _item(item_change: ChangeItems) -> nn.Module:
    if item_change.item is None:
        raise SettingError(
            str(item_change.target), f"{item_change.kind} needs an item."
        )
    return build_inside(item_change.item)


def _apply_to_list(owner: Any, item_change: ChangeItems, path: str) -> None:
    items: list[tuple[str, nn.Module]] = list(owner._modules.items())
    index = _index(item_change, [name for name, _ in items], path)
    if item_change.kind == "remove":
        del items[index]
    else:
        items.insert(index, ("", _item(item_change)))
    # Names that are numbers count again; those that are words stay.
    numbered_items = (
        (str(i) if _is_number(n) else n, m) for i, (n, m) in enumerate(items)
    )
    owner._modules = OrderedDict(numbered_items)


def _index(item_change: ChangeItems, names: list[str], path: str) -> int:
    """Return the place in the list that ``edit`` means."""
    size = len(names)
    if isinstance(item_change.key, str):
        if item_change.key not in names:
            raise SettingError(path, f"no item {item_change.key!r}; there are {names}.")
        return names.index(item_change.key)
    last_index = size if item_change.kind == "insert" else size - 1
    if item_change.kind == "insert" and item_change.key == END:
        return size
    index = item_change.key + size if item_change.key < 0 else item_change.key
    if not 0 <= index <= last_index:
        raise SettingError(path, f"no item {item_change.key}; it has {size} items.")
    return index


def _is_number(name: str) -> bool:
    return not name or name.isdecimal()
