"""A blueprint's tree and log of edits, which change together or not at all."""

import operator
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from torch import nn

from ....config.patterns import is_pattern
from ....config.spelling import nearest
from ..edits.edits import (
    AddHook,
    CallMethod,
    ChangeItems,
    Definition,
    Edit,
    Initialize,
    SetArguments,
    Target,
    with_replacements,
)
from ..edits.selector import children
from ..errors import BlueprintError, ConstructionError, SettingError
from ..tree.arguments import (
    Arguments,
    check_arguments,
    check_name,
    edited_call_of,
    missing_arguments,
)
from ..tree.computed_values import has_computed
from ..tree.construction_node import ConstructionNode, describe_value, is_repeatable
from ..tree.edit_log import (
    EditIndex,
    ItemNames,
    PathShift,
    Shift,
    WrapShift,
    concerning,
    paths_of,
    replacements_by,
    target_matches,
)
from ..tree.infer_sizes import missing_sizes
from .dry_run import dry_modules, dry_run
from .initialization import check_param_names
from .leaf_cache import LeafCache
from .part_cache import PartCache

_MAX_STEPS = 100
"""Maximal number of attempts for a log that cannot be applied as a whole."""


class Draft:
    """What is to be built: the tree of constructions, and the edits of it.

    Every edit is tried immediately, so that an error is raised where the edit is
    requested: on layers that construct no others alone, on a part that can be
    constructed alone, and otherwise on the whole in a dry run. Constructors around such
    a part run when the whole does, and an error of theirs names the call that caused
    it.
    """

    def __init__(self, cls: type[nn.Module], arguments: Arguments) -> None:
        self.edits: list[Edit] = []
        self.arguments = arguments
        self.known_classes: set[type[nn.Module]] = {cls}
        self.is_stale = False
        """Whether a part was edited since its maker ran, which may now build others."""
        self.tree = ConstructionNode(
            cls,
            passed_arguments=arguments,
            cls=cls,
            arguments=arguments,
            paths=("",),
            ranks=((),),
        )
        self.is_complete = False
        """Whether the arguments of the root suffice to construct it."""
        self.path_shifts: tuple[Shift, ...] = ()
        """The moves of paths when lists changed, so that selections follow items."""
        self._nodes_by_path: dict[str, ConstructionNode] | None = None
        self._n_paths_below: dict[str, int] | None = None
        """The number of paths below each path with some; None until it is needed."""
        self._nodes_by_target: dict[Target, list[ConstructionNode]] = {}
        self._leaves = LeafCache()
        self._parts = PartCache()
        self._has_computed = False
        """Whether any arguments are computed from those of other parts."""
        self._dry_run_if_complete(self.tree, [])

    def copy(self) -> "Draft":
        """Return a copy that can be edited independently."""
        draft = Draft.__new__(Draft)
        draft.__dict__.update(self.__dict__)
        draft.edits, draft.known_classes = list(self.edits), set(self.known_classes)
        draft.tree = self.tree.copy()
        draft._nodes_by_path = draft._n_paths_below = None
        # Both hold nodes of this tree, and the copy has nodes of its own.
        draft._nodes_by_target, draft._leaves = {}, LeafCache()
        return draft

    def become(self, draft: "Draft") -> None:
        """Take the state of ``draft``, which is not used any more."""
        self.__dict__.update(draft.__dict__)

    @property
    def definition(self) -> Definition:
        """The class, its arguments and the edits since."""
        return Definition(self.tree.original_cls, self.arguments, tuple(self.edits))

    @property
    def nodes_by_path(self) -> dict[str, ConstructionNode]:
        """The construction at each path, in the order of the module."""
        if self._nodes_by_path is None:
            ranked_nodes = [
                (rank, path, node)
                for node in self.tree.walk()
                for path, rank in zip(node.paths, node.ranks, strict=True)
            ]
            ranked_nodes.sort(key=operator.itemgetter(0))
            self._nodes_by_path = {path: node for _, path, node in ranked_nodes}
        return self._nodes_by_path

    def match(self, target: Target) -> list[ConstructionNode]:
        """Return the constructions matching ``target``, in the order of the tree."""
        known_nodes = self._nodes_by_target.get(target)
        if known_nodes is not None:
            return known_nodes
        by_path = self.nodes_by_path
        if isinstance(target, str) and is_pattern(target):
            paths = [path for path in by_path if target_matches(target, path)]
        else:
            paths = [path for path in paths_of(target) if path in by_path]
        # One module may be at several of the paths.
        nodes = list(dict.fromkeys(by_path[path] for path in paths))
        self._nodes_by_target[target] = nodes
        return nodes

    def find(self, target: Target) -> list[ConstructionNode]:
        """Return the result of `match`, after a dry run if it is empty."""
        nodes = self.match(target)
        if not nodes and self.is_stale:
            self.refresh()
            nodes = self.match(target)
        return nodes

    def add(
        self, edit: Edit, *, allow_empty: bool = False, is_replayed: bool = False
    ) -> None:
        """Add ``edit`` to the log and the tree, or raise and change nothing."""
        nodes = self.find(edit.target)
        if not nodes and not allow_empty:
            raise self.nothing_at(edit.target)
        if isinstance(edit, Initialize) and nodes and not is_replayed:
            edit = self._checked(edit)
        path_shifts = [self._shift(edit, nodes)] if edit.moves_paths else []
        replacements = replacements_by(self.edits, edit)
        for shift in path_shifts:
            # A change of items replaces no edit, but moves those of later items. The
            # edits of a replayed log have the paths after its last edit.
            moving_edits = [e for e in self.edits if not (is_replayed and e.is_logged)]
            replacements = shift.replacements(moving_edits)
        is_for_build = isinstance(edit, AddHook | Initialize) or (
            isinstance(edit, CallMethod) and edit.moment != "after_init"
        )
        # A pattern that matches nothing yet is meant for parts that come later.
        if is_for_build or not nodes or self._edit_leaves(nodes, replacements, edit):
            # A long log is not copied for an edit that replaces nothing.
            if replacements:
                self.edits = with_replacements(self.edits, replacements)
            self.edits.append(edit)
        else:
            self._edit_with_dry_run(nodes, replacements, edit)
        self.path_shifts = (*self.path_shifts, *path_shifts)

    def _checked(self, edit: Initialize) -> Initialize:
        """Return ``edit`` once its names are those of parameters; `SettingError`.

        A part without its arguments has no parameters yet, and is checked when it is
        built.
        """
        if not self.is_complete:
            return edit
        self.refresh()
        modules = dry_modules(self.tree, self.known_classes)
        paths = [path for node in self.find(edit.target) for path in node.paths]
        check_param_names([modules[path] for path in paths if path in modules], edit)
        return replace(edit, is_checked=True)

    def add_all(
        self,
        edits: Sequence[Edit],
        *,
        allow_empty: bool = False,
        is_replayed: bool = False,
    ) -> None:
        """Apply all of ``edits`` or none; the first creates the parts of the others."""
        if len(edits) == 1:
            self.add(edits[0], allow_empty=allow_empty, is_replayed=is_replayed)
            return
        draft = self.copy()
        draft.add(edits[0], allow_empty=allow_empty, is_replayed=is_replayed)
        for edit in edits[1:]:
            draft.add(edit, is_replayed=is_replayed)
        self.become(draft)

    def replay(self, edits: Sequence[Edit]) -> None:
        """Apply edits of a log, which were valid together, without steps in between.

        A log was updated as lists changed: its paths are those after its last edit. So
        a change of items moves only the edits of calls, which have just run, and for
        that it has to be the first of ``edits``.
        """
        if not edits:
            return
        draft, first_edit = self.copy(), edits[0]
        if isinstance(first_edit, ChangeItems) or _is_wrap(first_edit):
            shift = self._shift(first_edit, self.find(first_edit.target))
            edits_of_calls = [edit for edit in self.edits if not edit.is_logged]
            draft.edits = with_replacements(
                self.edits, shift.replacements(edits_of_calls)
            )
            draft.path_shifts = (*self.path_shifts, shift)
        draft.edits += edits
        try:
            draft._dry_run_if_complete(draft.tree.copy(), draft.edits)
        except BlueprintError:
            draft._replay_in_steps(len(edits))
        # A log may come from a file: names and types are checked in the final tree.
        for edit in (e for e in edits if isinstance(e, SetArguments)):
            for node in draft.match(edit.target):
                _check_replayed(node, edit)
        self.become(draft)

    def _replay_in_steps(self, n_new: int) -> None:
        """Update the tree with more and more of the last ``n_new`` edits.

        All edits together may fail, although they worked one after the other: one of
        two copies can be configured once the other was removed from its list.
        """
        n_edits = len(self.edits)
        step = max(n_new // _MAX_STEPS, 1)
        for n_tried in range(n_edits - n_new + step, n_edits, step):
            with suppress(BlueprintError):
                self._dry_run_if_complete(self.tree.copy(), self.edits[:n_tried])
        self._dry_run_if_complete(self.tree.copy(), self.edits)

    def refresh(self) -> None:
        """Update the tree, since makers may act differently with edited parts."""
        if self.is_stale:
            self._take_tree(self._dry_run(self.tree.copy(), self.edits))

    def classes_of_parts(self) -> list[type[nn.Module]]:
        """Return the classes of all parts, each once, without that of the whole."""
        nodes = (node for node in self.tree.walk() if node is not self.tree)
        return [*dict.fromkeys(node.cls for node in nodes)]

    def class_at(self, target: Target) -> type[nn.Module] | None:
        """Return the class of the first part that ``target`` matches."""
        return next((node.cls for node in self.match(target)), None)

    def nothing_at(self, target: Target) -> SettingError:
        """Return the error for a path or pattern that matches nothing."""
        target_text = (
            target if isinstance(target, str) else ", ".join(target) or "the selection"
        )
        if not target and not isinstance(target, str):
            return SettingError(
                target_text,
                "no module is constructed there: nothing was selected, or it "
                "has been removed from its list. Select again, or pass "
                "allow_empty=True to allow this.",
            )
        nearest_path = nearest(target_text, self.nodes_by_path)
        hint = f" Did you mean {nearest_path!r}?" if nearest_path else ""
        top_paths = [p for p in self.nodes_by_path if p and "." not in p]
        top_names = ", ".join(top_paths[:12]) or "nothing"
        kind = "pattern" if is_pattern(target_text) else "path"
        ready_hint = "" if is_repeatable(self.tree.arguments) else _READY
        return SettingError(
            target_text,
            f"no module is constructed at this {kind}.{hint} The top-level parts "
            f"are: {top_names}.{ready_hint} Pass allow_empty=True to allow this.",
        )

    def _edit_leaves(
        self,
        nodes: list[ConstructionNode],
        replacements: dict[int, Edit | None],
        edit: Edit,
    ) -> bool:
        """Edit constructions that contain no others, in place; False if some do."""
        if not isinstance(edit, SetArguments) or not self.is_complete:
            return False
        if self._has_computed:
            return False  # Others may be computed from the new state of this one.
        edited_by_key: dict[object, ConstructionNode | None] = {}
        edited_nodes: list[ConstructionNode] = []
        for node in nodes:
            # Hundreds of equal layers share one tuple of edits and one dict of
            # arguments, so that they are recognized by identity, without comparing
            # their content.
            key = (
                node.original_cls,
                id(node.edits),
                id(node.passed_arguments),
                node.inner_edits,
            )
            if key not in edited_by_key:
                edited_by_key[key] = self._leaves.edited_node(node, replacements, edit)
            edited_node = edited_by_key[key]
            if edited_node is None or node.children or node.is_copied:
                return False
            edited_nodes.append(edited_node)
        for node, edited_node in zip(nodes, edited_nodes, strict=True):
            node.edits, node.cls = edited_node.edits, edited_node.cls
            node.passed_arguments = edited_node.passed_arguments
            node.arguments = edited_node.arguments
            node.missing_sizes = edited_node.missing_sizes
        # Their makers did not run again, and may act differently with such parts.
        self.is_stale = self.is_stale or nodes != [self.tree]
        return True

    def _edit_with_dry_run(
        self,
        nodes: list[ConstructionNode],
        replacements: dict[int, Edit | None],
        edit: Edit,
    ) -> None:
        """Construct the changed parts again, and keep edit and tree on success."""
        edits = [*with_replacements(self.edits, replacements), edit]
        for node in nodes:
            if isinstance(edit, SetArguments):
                node_edits = (*with_replacements(node.edits, replacements), edit)
                check_arguments(edited_call_of(node, node_edits), node.path, edit)
        # A list is changed once its maker has filled it, so the maker runs again.
        changed_nodes = self._makers(nodes) if isinstance(edit, ChangeItems) else nodes
        subtree = self._smallest_subtree(changed_nodes)
        # A dry run writes into its own nodes: if it raises, the tree is unchanged.
        new_subtree = None
        if subtree is not self.tree:
            new_subtree = self._edited_part(subtree, concerning(edits, subtree.path))
        if new_subtree is None or has_computed(new_subtree):
            # A computed argument may depend on parts that only the whole has.
            self._dry_run_if_complete(self.tree.copy(), edits)
        else:
            _check_names(new_subtree)
            self._replace_subtree(subtree, new_subtree)
        self.edits = edits

    def _edited_part(
        self, part: ConstructionNode, edits: list[Edit]
    ) -> ConstructionNode:
        """Return ``part`` as its constructors build it with ``edits``."""
        edited_part = self._parts.edited_part(part, edits)
        if edited_part is None:
            edited_part = dry_run(part.copy(), edits, self.known_classes)
            self._parts.add(edited_part)
        return edited_part

    def _dry_run_if_complete(self, tree: ConstructionNode, edits: list[Edit]) -> None:
        call = edited_call_of(tree, EditIndex(edits).of(tree))
        sizes = missing_sizes(call.cls, call.arguments)
        self.is_complete = not missing_arguments(call.cls, [*call.arguments, *sizes])
        if self.is_complete:
            tree = self._dry_run(tree, edits)
        else:
            tree.cls, tree.arguments = call.cls, describe_value(call.arguments)
        self._take_tree(tree)

    def _dry_run(
        self, tree: ConstructionNode, edits: Sequence[Edit]
    ) -> ConstructionNode:
        """Return the result of `dry_run`; an error names the call that caused it.

        A maker does not run when a part of it is edited, so that it may raise at a
        later call, which is not at fault.
        """
        try:
            return dry_run(tree, edits, self.known_classes)
        except ConstructionError as error:
            edit = self._first_edit_at_fault() if self.is_stale else None
            if edit is None:
                raise
            place = edit.target if isinstance(edit.target, str) else edit.target[0]
            raise type(error)(
                error.path,
                f"{error.message}. It has raised since {place or 'the whole'} was "
                f"configured ({edit}): configure or replace that part again",
            ) from error.__cause__

    def _first_edit_at_fault(self) -> Edit | None:
        """Return the first of the edits with which the whole cannot be constructed."""
        draft = Draft(self.tree.original_cls, self.arguments)

        def raises(n_edits: int) -> bool:
            tree, edits = draft.tree.copy(), self.edits[:n_edits]
            try:
                dry_run(tree, edits, self.known_classes)
            except BlueprintError:
                return True
            return False

        n_fine, n_raising = 0, len(self.edits)
        if not draft.is_complete or not raises(n_raising):
            return None
        while n_raising - n_fine > 1:
            n_tried = (n_fine + n_raising) // 2
            if raises(n_tried):
                n_raising = n_tried
            else:
                n_fine = n_tried
        return self.edits[n_fine]

    def _take_tree(self, tree: ConstructionNode) -> None:
        _check_names(tree)
        self.tree, self.is_stale = tree, False
        self._has_computed = has_computed(tree)
        self._nodes_by_path = self._n_paths_below = None
        self._nodes_by_target = {}

    def _shift(self, change: Edit, nodes: list[ConstructionNode]) -> Shift:
        if isinstance(change, SetArguments):
            paths = [path for node in nodes for path in node.paths]
            # The inner one moves first, and then moves along with the outer one.
            return WrapShift(change, sorted(paths, key=len, reverse=True))
        if not isinstance(change, ChangeItems):
            raise TypeError(f"{type(change).__name__} does not move paths")
        repeated_paths = (
            node.paths for node in self.tree.walk() if len(node.paths) > 1
        )
        other_paths = {path: paths for paths in repeated_paths for path in paths}
        return PathShift(change, list(self._item_names(nodes)), other_paths)

    def _item_names(self, nodes: list[ConstructionNode]) -> Iterator[ItemNames]:
        tree = [*self.nodes_by_path]
        for node in nodes:
            for path in node.paths:
                names = [child.rpartition(".")[2] for child in children(tree, path)]
                yield ItemNames(path, names, issubclass(node.cls, nn.ModuleDict))

    def _makers(self, nodes: list[ConstructionNode]) -> list[ConstructionNode]:
        node_ids = {id(node) for node in nodes}
        makers = [
            maker
            for maker in self.tree.walk()
            if any(id(child) in node_ids for child in maker.children)
        ]
        return makers if len(makers) == len(nodes) else [self.tree]

    def _smallest_subtree(self, nodes: list[ConstructionNode]) -> ConstructionNode:
        """Return what has to be constructed again when ``nodes`` change.

        That is a part that can be constructed alone, or the whole.
        """
        if self._has_computed or len(nodes) != 1:
            return self.tree
        if len(nodes[0].paths) != 1 or nodes[0].is_copied:
            return self.tree
        subtree = nodes[0]
        # A module passed by the maker is used up, and a blueprint inside the maker,
        # whose edits shape the part, does not run without it.
        if subtree.is_inside_another or not is_repeatable(subtree.passed_arguments):
            return self.tree
        return subtree if self._holds_all_below(subtree) else self.tree

    def _holds_all_below(self, subtree: ConstructionNode) -> bool:
        """Return whether all that ``subtree`` constructed is below it, and no more.

        A part may pass modules it constructed to others, or hold modules of others.
        """
        if self._n_paths_below is None:
            self._n_paths_below = {}
            for path in self.nodes_by_path:
                for parent_path in _parent_paths(path):
                    n_paths = self._n_paths_below.get(parent_path, 0)
                    self._n_paths_below[parent_path] = n_paths + 1
        prefix = subtree.path + "."
        inner_paths = [
            p for node in subtree.walk() if node is not subtree for p in node.paths
        ]
        is_inside = all(path.startswith(prefix) for path in inner_paths)
        return is_inside and self._n_paths_below.get(subtree.path, 0) == len(
            inner_paths
        )

    def _replace_subtree(
        self, subtree: ConstructionNode, new_subtree: ConstructionNode
    ) -> None:
        """Replace ``subtree`` by ``new_subtree``, constructed in its place."""
        old_paths = [path for node in subtree.walk() for path in node.paths]
        for name in (
            "children",
            "edits",
            "inner_edits",
            "cls",
            "arguments",
            "missing_sizes",
            "computed",
        ):
            setattr(subtree, name, getattr(new_subtree, name))
        # The makers above did not run with the new part, and may act differently with
        # it.
        self.is_stale, self._nodes_by_target = True, {}
        if old_paths == [path for node in subtree.walk() for path in node.paths]:
            # Most edits move nothing, and sorting all paths again is slow.
            for node in subtree.walk():
                self.nodes_by_path.update(dict.fromkeys(node.paths, node))
        else:
            self._nodes_by_path = self._n_paths_below = None


def _parent_paths(path: str) -> Iterator[str]:
    return (path[:i] for i, character in enumerate(path) if character == ".")


def _check_replayed(node: ConstructionNode, edit: SetArguments) -> None:
    """Raise `SettingError` for arguments that no class of ``node`` accepts.

    The class that ``edit`` was made for may have come before it, or after it if the log
    was shortened, and later edits may have chosen another one since.
    """
    edits = _until_wrapped(node.edits, edit)
    begin = next((i for i, e in enumerate(edits) if e is edit), 0) + 1
    for end in range(begin, len(edits)):
        with suppress(SettingError):
            check_arguments(edited_call_of(node, edits[:end]), node.path, edit)
            return
    check_arguments(edited_call_of(node, edits), node.path, edit)


def _until_wrapped(edits: Sequence[Edit], edit: Edit) -> Sequence[Edit]:
    """Return those of ``edits`` for the same construction as ``edit``.

    Those that come after the part was wrapped belong to the wrapper.
    """
    position = next((i for i, e in enumerate(edits) if e is edit), 0)
    later_edits = enumerate(edits[position + 1 :], position + 1)
    return edits[: next((i for i, e in later_edits if _is_wrap(e)), len(edits))]


def _is_wrap(edit: Edit) -> bool:
    return isinstance(edit, SetArguments) and bool(edit.wraps_at)


def _check_names(tree: ConstructionNode) -> None:
    """Raise `SettingError` if a maker now chooses a class without an argument.

    The edit was checked against the earlier class, and would be lost silently.
    """
    for node in tree.walk():
        if node.edits:
            call = edited_call_of(node, node.edits)
            for name in call.sources:
                check_name(call.cls, name, node.path)


_READY = (
    " A module that is passed already built cannot be configured: pass a Blueprint."
)


def missing_sizes_in(tree: ConstructionNode) -> dict[str, tuple[str, ...]]:
    """Return, by path, the sizes in ``tree`` that only an example determines.

    Only constructions that are in the module count.
    """
    nodes = (node for node in tree.walk() if node.paths)
    return {node.path: node.missing_sizes for node in nodes if node.missing_sizes}
