"""A run of the constructors of a blueprint, in which its edits are applied."""

# pyright: reportPrivateUsage=false
# The table in which a list of modules keeps its items has no public name.

import itertools
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from torch import nn

from ....config.path import join
from ....config.process.interrupts import raise_of_signal
from ...modules.signature import call_arguments
from ...modules.tree import places_of
from ..edits.computed import Computed, ComputedValue, computed_in, with_values
from ..edits.edits import (
    CallMethod,
    ChangeItems,
    Edit,
    SetArguments,
    Unbuilt,
    build_child,
)
from ..errors import NotRepeatedError, SettingError
from ..tree.arguments import Arguments, ConstructorCall, bind, edited_call
from ..tree.computed_values import known_arguments_of
from ..tree.construction_node import ConstructionNode, InnerTree, describe_value
from ..tree.infer_sizes import missing_sizes, placeholder_sizes
from ..tree.module_values import build_values
from .forward_hooks import Logs
from .init_hooks import Init, current_observer
from .item_changes import change_items

SERIAL = "_burnish_made"
"""The attribute of a module with its construction's number, which copies share."""

_serials = itertools.count()


class Frame:
    """A running constructor, as one run sees it."""

    __slots__ = ("changes", "expected", "is_replaced", "node")

    def __init__(
        self, node: ConstructionNode, expected: ConstructionNode | None
    ) -> None:
        self.node, self.expected = node, expected
        self.changes: list[tuple[nn.Module, ChangeItems]] = []
        self.is_replaced = node.is_foreign
        """Whether an outer run replaced the construction that this run knows."""

    @property
    def expected_computed(self) -> Mapping[str, ComputedValue]:
        """The arguments computed for it after the last run."""
        return {} if self.expected is None else self.expected.computed

    @property
    def expected_children(self) -> "list[ConstructionNode]":
        """The constructions inside it in the last run."""
        return [] if self.expected is None else self.expected.children


class ConstructionRun:
    """The constructors of one blueprint, followed from the root as they run.

    A blueprint that is built inside the constructor of another has a run of its own,
    and its constructions are nodes of both.
    """

    def __init__(self, expected: ConstructionNode) -> None:
        """Expect the tree ``expected``, whose nodes state what is to be edited."""
        self.expected = expected
        # The root has a frame around it, so that it is entered like all others.
        holder = ConstructionNode(nn.Module, children=[expected])
        self.frames = [Frame(ConstructionNode(nn.Module), holder)]
        self.by_serial: dict[int, ConstructionNode] = {}
        self.modules_by_path: dict[str, nn.Module] = {}
        """The module at each path, as this run sees them."""
        self.has_built_children = False
        """Whether a constructor made blueprints its children."""
        self._items_before: dict[int, tuple[nn.Module, dict[str, Any]]] = {}

    @property
    def root(self) -> ConstructionNode:
        """The first construction: the root."""
        return self.frames[0].node.children[0]

    def enter(self, cls: type[nn.Module], serial: int) -> Frame:
        """Return the frame of the construction that begins."""
        outer_frame = self.frames[-1]
        index = len(outer_frame.node.children)
        node = ConstructionNode(cls, cls=cls, is_foreign=outer_frame.is_replaced)
        outer_frame.node.children.append(node)
        expected = None
        siblings = outer_frame.expected_children
        # Constructions are matched by their order within their maker. One of another
        # class is not the earlier one: its edits wait until a dry run knows its path.
        if index < len(siblings) and siblings[index].original_cls is cls:
            expected = siblings[index]
            node.edits = expected.edits
        frame = Frame(node, expected)
        self.frames.append(frame)
        self.by_serial[serial] = node
        return frame

    def keep_items(self, owner: nn.Module) -> None:
        """Record the content of ``owner``, whose items an outer run will change.

        The edits of this run use the earlier paths of items.
        """
        self._items_before.setdefault(
            id(owner), (owner, OrderedDict(owner._modules.items()))
        )

    @contextmanager
    def _items_as_before(self) -> Generator[None]:
        owners_and_items = self._items_before.values()
        items_after = [owner._modules for owner, _ in owners_and_items]
        for owner, items in owners_and_items:
            owner._modules = items
        try:
            yield
        finally:
            for (owner, _), items in zip(owners_and_items, items_after, strict=True):
                owner._modules = items

    def place(self, module: nn.Module, first_serial: int) -> None:
        """Record in each node the paths of its module in ``module``.

        Raises `NotRepeatedError` for a module of a number below ``first_serial``, which
        comes from an earlier run.
        """
        prefix, rank = self.expected.path, self.expected.rank
        ends_by_serial: dict[int, list[tuple[str, tuple[int, ...]]]] = {}
        module_ids: dict[int, set[int]] = {}
        ranks: dict[str, tuple[int, ...]] = {}
        n_children: dict[str, int] = {}
        with self._items_as_before() if self._items_before else nullcontext():
            places = places_of(module)
        for prefix_with_dot, part in places:
            path = prefix_with_dot[:-1]
            self.modules_by_path[path] = part
            ranks[path] = rank
            if path:
                parent_path = path.rpartition(".")[0]
                n_children[parent_path] = index = n_children.get(parent_path, -1) + 1
                ranks[path] = (*ranks.get(parent_path, rank), index)
            serial = part.__dict__.get(SERIAL, first_serial)
            if serial < first_serial:
                raise NotRepeatedError(join(prefix, path), _FROM_EARLIER_RUN)
            # Without a number in this run, an outer blueprint has constructed it.
            if serial in self.by_serial:
                ends_by_serial.setdefault(serial, []).append(
                    (join(prefix, path), ranks[path])
                )
                module_ids.setdefault(serial, set()).add(id(part))
        for serial, ends in ends_by_serial.items():
            node = self.by_serial[serial]
            node.paths = tuple(path for path, _ in ends)
            node.ranks = tuple(rank for _, rank in ends)
            # A copy shares the number; one module at several paths is not a copy.
            node.is_copied = len(module_ids[serial]) > 1


class ConstructionRuns:
    """The active runs of a thread, outermost first, which observe constructions."""

    def __init__(self, *, is_described: bool) -> None:
        """In a dry run, if ``is_described``, nodes record their arguments as well."""
        self.active: list[ConstructionRun] = []
        self.first_serial = next(_serials)
        """Smaller numbers are those of earlier runs."""
        self.constructed_classes: set[type[nn.Module]] = set()
        self.unhooked_classes: set[type[nn.Module]] = set()
        self.failed_frames: list[Frame] = []
        """The constructors that were running when one raised, outermost first."""
        self.modules: list[nn.Module] = []
        """All modules that were constructed, including those that were discarded."""
        self.logs = Logs()
        """The log of this blueprint's hooks, and of those of blueprints inside."""
        self._is_described = is_described
        # None is the code of a run itself, outside of any constructor.
        self._running: list[nn.Module | None] = [None]

    def is_constructing(self, module: nn.Module) -> bool:
        """Return whether the constructor of ``module`` is the innermost running."""
        return self._running[-1] is module

    def note_unhooked(self, module: nn.Module) -> None:
        """Record a module whose class had no hook."""
        if not self.active:
            return
        module.__dict__[SERIAL] = next(_serials)
        self.unhooked_classes.add(type(module))

    def call_within(
        self, run: ConstructionRun, construct: Callable[[], nn.Module]
    ) -> nn.Module:
        """Return the result of ``construct``, followed by ``run`` and outer runs."""
        self.active.append(run)
        self._running.append(None)
        try:
            return construct()
        finally:
            self._running.pop()
            self.active.pop()

    def construct_inner(
        self,
        run: ConstructionRun,
        edits: Sequence[Edit],
        construct: Callable[[], nn.Module],
    ) -> None:
        """Call what builds the module of an inner blueprint, followed by ``run``.

        The next outer run will find its constructions there.
        """
        frame = self.active[-1].frames[-1]
        index = len(frame.node.children)
        module = construct()
        run.place(module, self.first_serial)
        frame.node.children[index].inner_tree = InnerTree(run.root, tuple(edits))

    def expected_nodes(self, cls: type[nn.Module]) -> list[ConstructionNode]:
        """Return the nodes that the next construction had in the last run.

        There is one for each active run, outermost first; none if a ``cls`` is new
        here.
        """
        nodes: list[ConstructionNode] = []
        for run in self.active:
            frame = run.frames[-1]
            index, siblings = len(frame.node.children), frame.expected_children
            if index >= len(siblings) or siblings[index].original_cls is not cls:
                return []
            nodes.append(siblings[index])
        return nodes

    def build_child(self, blueprint: Unbuilt) -> nn.Module:
        """Return the part of the whole that ``blueprint`` becomes.

        A blueprint created by a constructor of this run is built in place, so that a
        later change of it is an error; any other may be built into many modules.
        """
        for run in self.active:
            run.has_built_children = True
        return build_child(blueprint, self)

    def construct(
        self,
        init: Init,
        module: nn.Module,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> None:
        """Run ``init`` on ``module`` as the runs edit it: other arguments or class."""
        if not self.active:
            # Before the first run and after the last, only other code constructs
            # modules: a signal handler, a finalizer, a callback of the garbage
            # collector.
            init(module, *args, **kwargs)
            return
        cls, serial = type(module), next(_serials)
        self.constructed_classes.add(cls)
        module.__dict__[SERIAL] = serial
        self.modules.append(module)
        frames = [run.enter(cls, serial) for run in self.active]
        if len(frames) > 1:
            _note_blueprints_around(frames)
        self._running.append(module)
        has_finished = False
        try:
            # Later edits win, so those of the outermost run come last: those closest to
            # the root take precedence.
            edits = [edit for frame in reversed(frames) for edit in frame.node.edits]
            # Most constructions of a real build have no edits: their arguments are
            # passed on without binding, at no cost.
            is_root = len(self.active[-1].frames) == 2
            is_computed = any(frame.expected_computed for frame in frames)
            if self._is_described or edits or is_root or is_computed:
                arguments = bind(cls, args, kwargs)
                self._call_init(init, module, arguments, frames, edits, is_root=is_root)
            else:
                init(module, *args, **kwargs)
            self._edit_result(module, frames, edits)
            has_finished = True
        finally:
            if has_finished:
                self.failed_frames.clear()
            elif not self.failed_frames:
                # The innermost constructor is handled first, while all frames exist.
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
        *,
        is_root: bool,
    ) -> None:
        call = edited_call(type(module), passed_arguments, edits)
        arguments = call.arguments
        sources = computed_in(arguments)
        computed = self._computed_values(frames, call, sources) if sources else {}
        if self._is_described:
            arguments = self._describe_arguments(
                frames, passed_arguments, call, computed
            )
        elif computed:
            arguments = with_values(arguments, computed)
        if call.cls is not type(module):
            # __new__ of the called class has run already; the module that the maker is
            # about to get becomes an instance of the other class.
            module.__class__ = call.cls
            init = call.cls.__init__
        # The maker's own arguments are passed on, even a module that it shares; values
        # of edits are built or copied, so that no two modules share them.
        values = {
            name: build_values(value, is_of_root=is_root)
            if is_root or name in call.sources
            else value
            for name, value in arguments.items()
        }
        args, kwargs = call_arguments(call.cls, values)
        init(module, *args, **kwargs)

    def _describe_arguments(
        self,
        frames: list[Frame],
        passed_arguments: Arguments,
        call: ConstructorCall,
        computed: dict[str, ComputedValue],
    ) -> Arguments:
        """Record the call in the nodes; return its arguments after replacement."""
        cls, arguments = call.cls, call.arguments
        if computed:
            arguments = with_values(arguments, computed)
        sizes = missing_sizes(cls, arguments)
        examples = {n: v.value for n, v in computed.items() if v.source.is_of_example}
        described_passed = describe_value(passed_arguments)
        described_arguments = describe_value(
            {name: value for name, value in arguments.items() if name not in examples}
        )
        inner_edits: tuple[Edit, ...] = ()
        for frame in reversed(frames):
            node = frame.node
            node.cls, node.passed_arguments = cls, described_passed
            node.arguments, node.computed = described_arguments, computed
            node.missing_sizes = (*sizes, *examples)
            # For an outer run, the edits of inner ones are a part of the maker.
            node.inner_edits = inner_edits
            inner_edits += node.edits
        return arguments | placeholder_sizes(cls, arguments) if sizes else arguments

    def _computed_values(
        self,
        frames: list[Frame],
        call: ConstructorCall,
        sources: Mapping[str, Computed],
    ) -> dict[str, ComputedValue]:
        """Return the value of ``sources`` in the last run, or a guess before that.

        An outer run sees more of the arguments that a part computes with.
        """
        values: dict[str, ComputedValue] = {}
        for name, source in sources.items():
            if source.is_of_example and "." in name:
                raise SettingError(
                    name,
                    "only a whole argument can be computed from an example, not an "
                    "item of one. Compute the list.",
                )
            values[name] = next(
                (
                    replace(frame.expected_computed[name], source=source)
                    for frame in frames
                    if name in frame.expected_computed
                ),
                ComputedValue(source, self._guess(source, call), "it is not known yet"),
            )
        return values

    def _guess(self, source: Computed, call: ConstructorCall) -> Any:
        """Return the value of ``source`` for outer arguments, or the placeholder.

        A constructor may refuse a placeholder, as one that divides by a number does.
        """
        nodes = [frame.node for frame in reversed(self.active[0].frames[1:-1])]
        own_node = ConstructionNode(call.cls, cls=call.cls, arguments=call.arguments)
        known_values = [known_arguments_of(node) for node in (own_node, *nodes)]
        try:
            values = [
                next(by_path[path] for by_path in known_values if path in by_path)
                for path in source.paths
            ]
            return source.function(*values) if values else source.placeholder
        except Exception as error:  # a user's function, maybe with an invalid value
            raise_of_signal(error)
            return source.placeholder

    def _edit_result(
        self, module: nn.Module, frames: list[Frame], edits: Iterable[Edit]
    ) -> None:
        """Make the calls that are due after a constructor; change lists it filled."""
        for edit in edits:
            if isinstance(edit, CallMethod) and edit.moment == "after_init":
                edit.function(module, *edit.args, **edit.kwargs)
        # The innermost comes first, since the outer ones see the items as it leaves
        # them.
        for i in reversed(range(len(frames))):
            run, frame = self.active[i], frames[i]
            # A list is empty when its own constructor ends: its maker fills it, so its
            # items change when the maker ends. Only the root has no maker.
            is_root = len(run.frames) == 2
            changing_frame = frame if is_root else run.frames[-2]
            changing_frame.changes += [
                (module, edit)
                for edit in frame.node.edits
                if isinstance(edit, ChangeItems)
            ]
            for owner, change in frame.changes:
                for inner_run in self.active[i + 1 :]:
                    inner_run.keep_items(owner)
                change_items(owner, change)

    def unmark(self, module: nn.Module) -> None:
        """Remove the numbers from all constructed modules, and from their copies."""
        for part in (*self.modules, *module.modules()):
            part.__dict__.pop(SERIAL, None)


def _note_blueprints_around(frames: list[Frame]) -> None:
    """Relate the nodes that one construction has in several runs."""
    for i, frame in enumerate(frames):
        frame.node.is_inside_another = i < len(frames) - 1
        outer_edits = (edit for around in frames[:i] for edit in around.node.edits)
        frame.is_replaced = frame.is_replaced or any(
            isinstance(edit, SetArguments) and edit.is_replacement
            for edit in outer_edits
        )


_FROM_EARLIER_RUN = (
    "was built by an earlier run of the constructors and is used again. "
    "Build modules in __init__, and do not store them in a class attribute "
    "or a global."
)


def current_runs() -> ConstructionRuns | None:
    """Return the active runs of this thread, None if no blueprint is building."""
    runs = current_observer()
    return runs if isinstance(runs, ConstructionRuns) and runs.active else None
