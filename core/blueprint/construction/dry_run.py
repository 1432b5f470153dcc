"""The tree that constructors build, found by running them on unfilled parameters."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import torch
from torch import nn

from ....config.path import join
from ....config.process.interrupts import call_with_end, raise_of_signal
from ....config.short_text import short_repr
from ....records.tensors.grad_mode import grad_mode_after_errors
from ...modules.signature import call_arguments
from ...state.uninitialized.streams import Streams, numpy_random
from ...state.uninitialized.uninitialized import call_filled, call_unfilled
from ..edits.edits import ChangeItems, Edit, SetArguments
from ..errors import (
    BlueprintError,
    ConstructionError,
    NotRepeatedError,
    SettingError,
    constructor_error,
)
from ..tree.computed_values import (
    altered_trees,
    assign_computed,
    check_computed,
    first_computed_difference,
    has_computed,
)
from ..tree.construction_node import (
    ConstructionNode,
    tree_difference,
)
from ..tree.edit_log import EditIndex, ends_of_names
from .construction_run import ConstructionRun, ConstructionRuns
from .init_hooks import call_observed, call_with_hooks

T = TypeVar("T")

_MAX_ROUNDS = 24
"""Maximal number of runs until edits of parts that other edits create have settled."""

_MAX_DISCOVERIES = 100
"""Maximal number of runs that meet new classes, whether or not the edits settle."""

_MAX_OF_ONE_NAME = 4
"""Runs in which a class of one name may be new; in more, each run creates its own."""

_MAX_COMPUTED = 8
"""Maximal number of runs until values computed from others have settled."""

_seeds = itertools.count(1)

_Initializing: TypeAlias = Callable[[Callable[[], Any]], Any]
"""Calls a function with its initializers recorded, or run."""


def dry_run(
    expected: ConstructionNode,
    edits: Sequence[Edit],
    known_classes: set[type[nn.Module]],
) -> ConstructionNode:
    """Return the tree that results from ``expected`` with ``edits``.

    An edit names a path, and only a run shows which construction gets that path. So the
    constructors run again until each was constructed with the edits of its final path.
    Classes that they call are added to ``known_classes``. Raises `ConstructionError`
    with the path.
    """
    edit_index, n_rounds = EditIndex(edits), 0
    computing = _Computing()
    discoveries = _Discoveries(expected, known_classes)
    initializing: _Initializing = call_unfilled
    assign_edits(expected, edit_index)
    while n_rounds < _MAX_ROUNDS:
        runs = ConstructionRuns(is_described=True)
        try:
            tree, has_drawn = _run_once(expected, runs, known_classes, initializing)
        except BlueprintError as error:
            # A class without a hook may have raised because it missed its edits, so the
            # error counts only if all classes had one.
            if discoveries.add(runs):
                continue
            if initializing is call_filled or not isinstance(error, ConstructionError):
                raise
            # Compiled code reads weights without calling Python, and finds values only
            # if the initializers have run.
            initializing = call_filled
            continue
        all_hooked = not discoveries.add(runs)
        has_new_edits = assign_edits(tree, edit_index)
        is_computed = has_computed(tree)
        has_new_values = is_computed and computing.assign(
            tree, counts=not has_new_edits and all_hooked
        )
        if not has_new_edits and not has_new_values and all_hooked:
            if is_computed:
                computing.check(tree, known_classes, initializing)
            # Torch's draws fill parameters; those of Python or numpy may decide what is
            # constructed, and then a run does not predict the next one.
            if has_drawn:
                _check_chance(tree, known_classes, initializing)
            return tree
        expected = tree
        # A run that meets new classes does not show whether edits have settled.
        n_rounds += all_hooked
    raise NotRepeatedError(
        expected.path,
        f"{expected.original_cls.__qualname__} builds something different each time.",
    )


def _run_once(
    expected: ConstructionNode,
    runs: ConstructionRuns,
    known_classes: set[type[nn.Module]],
    initializing: _Initializing,
) -> tuple[ConstructionNode, bool]:
    """Return the result of one run, and whether Python or numpy drew numbers in it."""
    run, has_drawn = _run(expected, runs, known_classes, initializing)
    tree = run.root
    # The run has described modules and iterators among the arguments of the root, but
    # the next run needs the values themselves.
    tree.passed_arguments = expected.passed_arguments
    return tree, has_drawn


def dry_modules(
    tree: ConstructionNode, known_classes: set[type[nn.Module]]
) -> Mapping[str, nn.Module]:
    """Return the modules of an up-to-date ``tree`` by path, without values.

    Raises `ConstructionError`.
    """
    runs = ConstructionRuns(is_described=True)
    try:
        run, _ = _run(tree.copy(), runs, known_classes, call_unfilled)
    except ConstructionError:
        # As in a dry run, compiled code may read values.
        runs = ConstructionRuns(is_described=True)
        run, _ = _run(tree.copy(), runs, known_classes, call_filled)
    return run.modules_by_path


def _run(
    expected: ConstructionNode,
    runs: ConstructionRuns,
    known_classes: set[type[nn.Module]],
    initializing: _Initializing,
) -> tuple[ConstructionRun, bool]:
    run = ConstructionRun(expected)

    def construct() -> tuple[nn.Module, bool]:
        rng_state = host_rng_state()
        module = call_root_constructor(runs, run, known_classes)
        return module, host_rng_state() != rng_state

    module, has_drawn = call_reseeded(
        next(_seeds), lambda: initializing(lambda: call_observed(runs, construct))
    )
    # The numbers stay on the modules: if a later run meets a module with an old number,
    # it was kept in a class or a global.
    run.place(module, runs.first_serial)
    return run, has_drawn


def _check_chance(
    tree: ConstructionNode,
    known_classes: set[type[nn.Module]],
    initializing: _Initializing,
) -> None:
    """Raise `NotRepeatedError` if another seed gives a tree other than ``tree``."""
    runs = ConstructionRuns(is_described=True)
    other_tree, _ = _run_once(tree, runs, known_classes, initializing)
    problem = tree_difference(tree, other_tree) or _argument_difference(
        tree, other_tree
    )
    if problem is not None:
        raise NotRepeatedError(
            problem[0],
            f"the constructors depend on random numbers: {problem[1]}. Draw the "
            "numbers outside of the constructors, and pass them as arguments.",
        )


def _argument_difference(
    tree: ConstructionNode, other_tree: ConstructionNode
) -> tuple[str, str] | None:
    for node, other_node in zip(tree.walk(), other_tree.walk(), strict=True):
        for name, value in node.arguments.items():
            other_value = other_node.arguments.get(name)
            if type(other_value) is not type(value) or repr(other_value) != repr(value):
                return node.path, (
                    f"{name} was {short_repr(value)} the first time, "
                    f"{short_repr(other_value)} the second time"
                )
    return None


class _Computing:
    """Compares the computed arguments of successive runs, to detect circles."""

    def __init__(self) -> None:
        self._n_rounds = 0

    def assign(self, tree: ConstructionNode, *, counts: bool) -> bool:
        """Set computed values in ``tree``; return whether any is new.

        Raises `SettingError` if they keep changing; ``counts`` is whether nothing else
        changed in this run.
        """
        changed_place = assign_computed(tree)
        self._n_rounds += counts and changed_place is not None
        n_values = sum(len(node.computed) for node in tree.walk())
        if changed_place and self._n_rounds > min(n_values, _MAX_COMPUTED) + 1:
            raise _computed_from_itself(changed_place)
        return changed_place is not None

    def check(
        self,
        tree: ConstructionNode,
        known_classes: set[type[nn.Module]],
        initializing: _Initializing,
    ) -> None:
        """Raise if a function raised, or a value would be computed from itself.

        A constructor may pass on its argument, so each value is tried with another one:
        the values it is computed from must not follow.
        """
        check_computed(tree, is_whole=False)
        for altered_tree, paths in altered_trees(tree):
            runs = ConstructionRuns(is_described=True)
            try:
                other_tree, _ = _run_once(
                    altered_tree, runs, known_classes, initializing
                )
                assign_computed(other_tree)
            except BlueprintError:
                continue  # Not every constructor accepts every number.
            place = first_computed_difference(tree, other_tree, paths)
            if place is not None:
                raise _computed_from_itself(place)


def _computed_from_itself(place: str) -> SettingError:
    return SettingError(
        place,
        "it is computed from a value that depends on it, through a constructor: a "
        "cycle. Set one of them to a number. (Or its function returns a different "
        "value each time.)",
    )


class _Discoveries:
    """Counts the new classes of each run, so that the number of runs is bounded."""

    def __init__(
        self, root: ConstructionNode, known_classes: set[type[nn.Module]]
    ) -> None:
        self.root, self.known_classes = root, known_classes
        self.n_runs = 0
        self.names: Counter[str] = Counter()

    def add(self, runs: ConstructionRuns) -> bool:
        """Add the classes of a run to the known ones; return whether some were new.

        Raises `NotRepeatedError` if every run creates classes of its own.
        """
        new_classes = runs.unhooked_classes - self.known_classes
        self.known_classes |= runs.constructed_classes | runs.unhooked_classes
        if not new_classes:
            return False
        self.names.update({f"{c.__module__}.{c.__qualname__}" for c in new_classes})
        self.n_runs += 1
        name, n_times = self.names.most_common(1)[0]
        if n_times > _MAX_OF_ONE_NAME or self.n_runs > _MAX_DISCOVERIES:
            raise NotRepeatedError(
                self.root.path,
                f"{self.root.original_cls.__qualname__} defines a new class in each "
                f"run, such as {name}. Define the class once, outside of the "
                "constructor.",
            )
        return True


def call_root_constructor(
    runs: ConstructionRuns, run: ConstructionRun, known_classes: set[type[nn.Module]]
) -> nn.Module:
    """Return the module that the root of ``run`` builds; raise with the path."""
    expected = run.expected
    args, kwargs = call_arguments(expected.original_cls, expected.passed_arguments)
    try:
        with grad_mode_after_errors():
            return call_with_hooks(
                {expected.original_cls, *known_classes},
                lambda: runs.call_within(
                    run, lambda: expected.original_cls(*args, **kwargs)
                ),
            )
    except BlueprintError as error:
        if error.path or not runs.failed_frames:
            raise
        raise type(error)(_where(runs), error.message) from error
    except torch.OutOfMemoryError:
        raise  # the device is full, which is not the constructor's fault
    except Exception as error:
        raise_of_signal(error)
        frames = runs.failed_frames
        cls = (frames[-1].node if frames else expected).original_cls
        raise constructor_error(_where(runs), cls, error) from error


def assign_edits(root: ConstructionNode, edit_index: EditIndex) -> bool:
    """Give every construction its edits; return whether any has new ones.

    If a part is new, wrapped, or a list whose items are changed, its content gets other
    paths in the next run, and keeps its present edits until then.
    """
    has_changed, wrapped_by = False, dict[str, list[Edit]]()
    edits_by_node: list[tuple[ConstructionNode, tuple[Edit, ...]]] = []
    unsettled: set[str] = set()
    for node in root.walk():
        edits = () if node.is_foreign else edit_index.of(node)
        # A pattern that matches a part may also match its path inside of its wrapper.
        if wrapped_by and node.path in wrapped_by:
            outer_edits = wrapped_by[node.path]
            edits = tuple(edit for edit in edits if edit not in outer_edits)
        for edit in edits:
            if isinstance(edit, SetArguments) and edit.wraps_at:
                inner_path = join(node.path, edit.wraps_at)
                outer_edits = [*wrapped_by.get(node.path, ()), edit]
                wrapped_by.setdefault(inner_path, []).extend(outer_edits)
        if edits != node.edits:
            has_changed = True
            edits_by_node.append((node, edits))
            if _changes_inside(edits) != _changes_inside(node.edits):
                unsettled.update(node.paths)
        if node.inner_tree is not None:
            inner_index = EditIndex(node.inner_tree.edits)
            has_changed |= assign_edits(node.inner_tree.tree, inner_index)
    for node, edits in edits_by_node:
        if not unsettled or not _is_inside_any(node, unsettled):
            node.edits = edits
    return has_changed


def _changes_inside(edits: Sequence[Edit]) -> list[Edit]:
    """Return those of ``edits`` that decide which paths the children of a part have."""
    return [
        edit
        for edit in edits
        if isinstance(edit, ChangeItems)
        or (isinstance(edit, SetArguments) and edit.cls is not None)
    ]


def _is_inside_any(node: ConstructionNode, paths: set[str]) -> bool:
    return any(
        path[:i] in paths for path in node.paths for i in ends_of_names(path) if path
    )


def _where(runs: ConstructionRuns) -> str:
    """Return the path of the constructor that raised, or the nearest known one."""
    path, unplaced = "", list[str]()
    for frame in runs.failed_frames:
        # A constructor that raised has no final path: its path is that of the run
        # before, if there was one.
        if frame.expected is not None and frame.expected.paths:
            path, unplaced = frame.expected.path, []
        else:
            unplaced.append(frame.node.original_cls.__qualname__)
    return " > ".join(filter(None, [path, *unplaced]))


def call_reseeded(seed: int, function: Callable[[], T]) -> T:
    """Call ``function`` with reseeded generators, and restore their states.

    Constructors that depend on chance are detected by another ``seed`` each time.
    """
    before = Streams()

    def run() -> T:
        random.seed(seed)
        numpy = numpy_random()
        if numpy is not None:
            numpy.seed(seed)
        torch.default_generator.manual_seed(seed)
        return function()

    return call_with_end(run, before.restore)


def host_rng_state() -> tuple[object, ...]:
    """Return a state that differs once Python or numpy has drawn a number.

    Torch's draws are left out: values of buffers come from them, and are allowed to.
    """
    numpy = numpy_random()
    state = () if numpy is None else numpy.get_state()
    return (
        random.getstate(),
        tuple(map(str, state[2:])),
        bytes(state[1] if state else b""),
    )
