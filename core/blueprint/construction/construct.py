"""Construction of a draft's module: sizes from the example, each constructor once."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ....config.path import join
from ....config.process.interrupts import raise_of_signal
from ....records.tensors.grad_mode import no_grad
from ...modules.signature import call_arguments
from ...state.uninitialized.streams import Streams
from ..edits.edits import AddHook, CallMethod, Edit, Initialize, SetArguments
from ..errors import BlueprintError, NotRepeatedError, SettingError
from ..tree.arguments import Arguments, missing_arguments
from ..tree.computed_values import check_computed, inferred_values
from ..tree.construction_node import ConstructionNode, tree_difference
from ..tree.edit_log import EditIndex
from ..tree.infer_sizes import infer_sizes
from .construction_run import SERIAL, ConstructionRun, ConstructionRuns, current_runs
from .draft import Draft, missing_sizes_in
from .dry_run import assign_edits, call_reseeded, call_root_constructor
from .forward_hooks import Logs, add_hooks
from .forward_parts import connect
from .init_hooks import call_observed
from .initialization import initialize


@dataclass(frozen=True, slots=True)
class Construction:
    """A constructed module, and the facts of its construction."""

    module: nn.Module
    sizes: Sequence[SetArguments]
    """Sizes determined by the example."""
    has_built_children: bool
    """Whether a constructor made blueprints its children; by hand they stay."""


def construct(
    draft: Draft, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> Construction:
    """Return a module of ``draft``, after its method calls.

    Inside the constructor of another blueprint that is building, the module is a part
    of that one, whose edits take precedence.
    """
    _check_complete(draft)
    outer_runs = current_runs()
    if outer_runs is not None:
        return _construct_inside(outer_runs, draft, args, kwargs)
    # A stale tree suffices for building alone, which detects differences; what is
    # completed in another run has to be up to date.
    if missing_sizes_in(draft.tree):
        draft.refresh()
    check_computed(draft.tree, is_whole=True)
    sizes = _sizes_of_example(draft, args, kwargs)
    expected = _with_edits(draft.tree, [*draft.edits, *sizes]) if sizes else draft.tree
    run, logs = _construct_whole(draft, expected)
    return _finished(draft, run, logs, sizes)


def _check_complete(draft: Draft) -> None:
    if draft.is_complete:
        return
    tree = draft.tree
    names = missing_arguments(tree.cls, tree.arguments)
    raise SettingError(
        "",
        f"{tree.cls.__qualname__} needs {', '.join(names)}: "
        f"configure({names[0]}=...) first.",
    )


def _sizes_of_example(
    draft: Draft, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> list[SetArguments]:
    """Return the omitted sizes, as the example determines them."""
    missing = missing_sizes_in(draft.tree)
    if missing and not args and not kwargs:
        raise unknown_sizes_error(missing, "no example was passed")
    if not missing:
        return []
    return sizes_from_example(draft.tree, draft.known_classes, args, kwargs)


def _with_edits(tree: ConstructionNode, edits: Sequence[Edit]) -> ConstructionNode:
    """Return a copy of ``tree`` whose nodes have the matching ones of ``edits``."""
    copy = tree.copy()
    assign_edits(copy, EditIndex(edits))
    return copy


def _construct_inside(
    outer_runs: ConstructionRuns,
    draft: Draft,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> Construction:
    """Construct a part of another blueprint, which may change everything in it."""
    tree, outer_nodes = _expected_inside(outer_runs, draft)
    # The outer blueprint may set its sizes, or determine them from its own example.
    sizes = list[SetArguments]()
    if args or kwargs:
        whole_tree = _with_outer_edits(_with_edits(tree, draft.edits), outer_nodes)
        sizes = sizes_from_example(whole_tree, draft.known_classes, args, kwargs)
    edits = [*draft.edits, *sizes]
    run = ConstructionRun(_with_edits(tree, edits))
    outer_runs.construct_inner(
        run,
        edits,
        lambda: call_root_constructor(outer_runs, run, draft.known_classes),
    )
    return _finished(draft, run, outer_runs.logs, sizes)


def _expected_inside(
    outer_runs: ConstructionRuns, draft: Draft
) -> tuple[ConstructionNode, list[ConstructionNode]]:
    """Return the tree to expect inside, and its nodes as the outer blueprints see it.

    Changes by the outer ones are not in the tree of ``draft``: the result of the last
    run around it counts, if there was one.
    """
    nodes = outer_runs.expected_nodes(draft.tree.original_cls)
    inner_tree = nodes[-1].inner_tree if nodes else None
    if inner_tree is None:
        draft.refresh()
        return draft.tree, []
    tree = inner_tree.tree.copy()
    tree.passed_arguments = draft.tree.passed_arguments
    return tree, nodes


def _with_outer_edits(
    tree: ConstructionNode, outer_nodes: Sequence[ConstructionNode]
) -> ConstructionNode:
    """Return ``tree`` with the edits of the outer runs as its own, for one run."""
    for outer_node in reversed(outer_nodes):
        tree.edits += outer_node.edits
    children = [node.children for node in (tree, *outer_nodes)]
    for child, *outer_children in zip(*children, strict=False):
        if all(node.original_cls is child.original_cls for node in outer_children):
            _with_outer_edits(child, outer_children)
    return tree


def _construct_whole(
    draft: Draft, expected: ConstructionNode
) -> tuple[ConstructionRun, Logs]:
    """Construct; a second time if makers act differently with edited parts."""
    if not draft.is_stale:
        return _construct_once(draft, expected)
    # The failed attempt has drawn random numbers: the same seed gives the same weights
    # only if the next attempt starts from the same state.
    before = Streams()
    try:
        return _construct_once(draft, expected)
    except BlueprintError:
        before.restore()
        draft.refresh()
        return _construct_once(draft, draft.tree)


def _construct_once(
    draft: Draft, expected: ConstructionNode
) -> tuple[ConstructionRun, Logs]:
    run, runs = ConstructionRun(expected), ConstructionRuns(is_described=False)
    module = call_observed(
        runs, lambda: call_root_constructor(runs, run, draft.known_classes)
    )
    run.place(module, runs.first_serial)
    # The numbers belong to this run, and copies or pickles would keep them.
    runs.unmark(module)
    _check_repeated(tree_difference(expected, run.root))
    if runs.unhooked_classes:
        names = ", ".join(cls.__qualname__ for cls in runs.unhooked_classes)
        _check_repeated(("", f"{names} was built only in the second run"))
    return run, runs.logs


def _check_repeated(problem: tuple[str, str] | None) -> None:
    if problem is not None:
        raise NotRepeatedError(
            problem[0],
            f"the constructors did different things in two runs: {problem[1]}. A "
            "constructor must do the same whenever it gets the same arguments: "
            "it must not depend on random numbers, counters or modules built "
            "earlier.",
        )


def _finished(
    draft: Draft, run: ConstructionRun, logs: Logs, sizes: Sequence[SetArguments]
) -> Construction:
    _finish(draft, run, logs)
    return Construction(run.modules_by_path[""], sizes, run.has_built_children)


def _finish(draft: Draft, run: ConstructionRun, logs: Logs) -> None:
    """Add the hooks to the built module, then make the requested calls."""
    deferred_edits = [edit for edit in draft.edits if _is_later(edit)]
    for part in run.modules_by_path.values():
        connect(part, logs)
    if not deferred_edits and not logs.is_used:
        return
    edit_index = EditIndex(deferred_edits)
    edits_by_module = [
        (part, edit)
        for node, part in _nodes_and_modules(run)
        for edit in edit_index.of(node)
    ]
    hooks = [
        (part, edit) for part, edit in edits_by_module if isinstance(edit, AddHook)
    ]
    add_hooks(run.modules_by_path[""], hooks, logs)
    initialize(run.modules_by_path[""], deferred_edits, edits_by_module)
    # The calls are made in the order of the requests, whatever their parts.
    for edit in deferred_edits:
        for part, module_edit in edits_by_module:
            if module_edit is edit and isinstance(edit, CallMethod):
                edit.function(part, *edit.args, **edit.kwargs)


def _is_later(edit: Edit) -> bool:
    return isinstance(edit, AddHook | Initialize) or (
        isinstance(edit, CallMethod) and edit.moment == "after_build"
    )


def _nodes_and_modules(
    run: ConstructionRun,
) -> Sequence[tuple[ConstructionNode, nn.Module]]:
    """Return the constructions in the module, with their modules, copies included."""
    nodes_and_modules: list[tuple[ConstructionNode, nn.Module]] = []
    for node in run.root.walk():
        if node.is_foreign:
            continue
        paths = node.paths if node.is_copied else node.paths[:1]
        nodes_and_modules += [(node, run.modules_by_path[path]) for path in paths]
    return nodes_and_modules


def sizes_from_example(
    tree: ConstructionNode,
    known_classes: set[type[nn.Module]],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> list[SetArguments]:
    """Return an edit for each size that the example determines.

    A temporary module is built with placeholders; its layers take their sizes, and
    their shapes, from their inputs. Raises `SettingError` if a layer gets no input, or
    the example does not fit.
    """
    run, runs = ConstructionRun(tree), ConstructionRuns(is_described=True)
    sizes_by_path: dict[str, Arguments] = {}

    def run_example() -> None:
        module = call_root_constructor(runs, run, known_classes)
        run.place(module, runs.first_serial)
        # A module constructed in forward is not a part of the module.
        call_observed(
            None, lambda: _send_example(module, run, sizes_by_path, args, kwargs)
        )

    call_reseeded(0, lambda: call_observed(runs, run_example))
    missing = {
        path: names
        for path, names in missing_sizes_in(run.root).items()
        if path not in sizes_by_path
    }
    if missing:
        raise unknown_sizes_error(missing, "no example was passed that reaches it")
    return [
        SetArguments(target=path, arguments=sizes, by="the example")
        for path, sizes in sizes_by_path.items()
    ]


def unknown_sizes_error(
    missing: Mapping[str, tuple[str, ...]], why: str
) -> SettingError:
    """Return the error for sizes that nothing determines."""
    size_names = [join(path, name) for path, names in missing.items() for name in names]
    return SettingError(
        next(iter(missing)),
        f"no value for {', '.join(size_names[:6])}: {why}. Configure it, or pass "
        "inputs: build(example).",
    )


def _send_example(
    module: nn.Module,
    run: ConstructionRun,
    sizes_by_path: dict[str, Arguments],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> None:
    try:
        with no_grad(), _layers_completed(module, run, sizes_by_path):
            module(*args, **kwargs)
    except SettingError:
        raise
    except Exception as error:
        raise_of_signal(error)
        cls_name = type(module).__qualname__
        reason = f"{type(error).__name__}: {error}"
        message = f"the example does not pass through {cls_name}: {reason}"
        raise SettingError("", message) from error


@contextmanager
def _layers_completed(
    module: nn.Module, run: ConstructionRun, sizes_by_path: dict[str, Arguments]
) -> Generator[None]:
    """Complete each layer when its first input arrives, and record the sizes."""
    handles: list[RemovableHandle] = []
    for part in module.modules():
        node = run.by_serial.get(part.__dict__.get(SERIAL, -1))
        if node is not None and node.missing_sizes:
            hook = _CompleteLayer(node, sizes_by_path)
            handles.append(part.register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _CompleteLayer:
    def __init__(
        self, node: ConstructionNode, sizes_by_path: dict[str, Arguments]
    ) -> None:
        self._node, self._sizes_by_path, self._has_run = node, sizes_by_path, False

    def __call__(self, module: nn.Module, inputs: tuple[object, ...]) -> None:
        node = self._node
        tensors = tuple(t for t in inputs if isinstance(t, Tensor))
        if self._has_run or not tensors:
            return
        self._has_run = True
        sizes = infer_sizes(node.cls, node.arguments, tensors)
        sizes |= inferred_values(node, tensors)
        # One construction may be in several places, as its copies are.
        first_sizes = self._sizes_by_path.setdefault(node.path, sizes)
        if first_sizes != sizes:
            raise SettingError(
                node.path,
                "the same layer is called with inputs of different sizes: "
                f"{first_sizes}, {sizes}",
            )
        args, kwargs = call_arguments(node.cls, {**node.arguments, **sizes})
        layer = node.cls(*args, **kwargs)
        # The module becomes the layer, but keeps its hooks: one of them is running.
        attributes = {n: v for n, v in layer.__dict__.items() if "hook" not in n}
        module.__dict__.update(attributes)
