"""A blueprint's tree and tape, which change together or not at all."""

import operator
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

from torch import nn

from ....config.path import is_pattern, nearest
from ..edits.edits import (
    AddHook,
    CallMethod,
    ChangeItems,
    Definition,
    Edit,
    SetArguments,
    Target,
    with_replacements,
)
from ..edits.selector import children
from ..errors import SettingError
from ..tree.arguments import (
    Arguments,
    check_arguments,
    check_name,
    edited_call_of,
    missing_arguments,
)
from ..tree.construction_node import ConstructionNode, describe_value, is_repeatable
from ..tree.edit_log import (
    EditIndex,
    ItemNames,
    PathShift,
    concerning,
    matches,
    paths_of,
    replacements_by,
)
from ..tree.infer_sizes import missing_sizes
from .dry_run import LeafCache, dry_run


class Draft:
    """What is to be built: the tree of constructions, and what changes them."""

    def __init__(self, cls: type[nn.Module], arguments: Arguments) -> None:
        self.edits: list[Edit] = []
        self.arguments = arguments
        self.known_classes: set[type[nn.Module]] = {cls}
        self.is_stale = False
        """Whether a maker may have seen its parts change since the tree was made."""
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
        self.path_shifts: tuple[PathShift, ...] = ()
        """How paths moved by changes of lists, so that selections follow them."""
        self._places: dict[str, ConstructionNode] | None = None
        self._n_paths_below: dict[str, int] | None = None
        """How many places are below each, for those that have some."""
        self._matched: dict[Target, list[ConstructionNode]] = {}
        self._leaves = LeafCache()
        self._dry_run_if_complete(self.tree, [])

    def copy(self) -> "Draft":
        """Return the same, to be changed without changing this."""
        draft = Draft.__new__(Draft)
        draft.__dict__.update(self.__dict__)
        draft.edits, draft.known_classes = list(self.edits), set(self.known_classes)
        draft.tree = self.tree.copy()
        draft._places = draft._n_paths_below = None
        draft._matched, draft._leaves = {}, LeafCache()
        return draft

    def become(self, draft: "Draft") -> None:
        """Take over all of ``other``, which is not used any more."""
        self.__dict__.update(draft.__dict__)

    @property
    def definition(self) -> Definition:
        """What was told so far: the class, its arguments and the log."""
        return Definition(self.tree.original_cls, self.arguments, tuple(self.edits))

    @property
    def nodes_by_path(self) -> dict[str, ConstructionNode]:
        """The construction at each path, in the order of the module."""
        if self._places is None:
            ranked_nodes = [
                (rank, path, node)
                for node in self.tree.walk()
                for path, rank in zip(node.paths, node.ranks, strict=True)
            ]
            ranked_nodes.sort(key=operator.itemgetter(0))
            self._places = {path: node for _, path, node in ranked_nodes}
        return self._places

    def match(self, target: Target) -> list[ConstructionNode]:
        """Return the constructions that ``target`` means, in the order of the tree."""
        nodes = self._matched.get(target)
        if nodes is None:
            nodes = self._matched[target] = self._match(target)
        return nodes

    def find(self, target: Target) -> list[ConstructionNode]:
        """Return what `match` does, after looking again if there is nothing."""
        nodes = self.match(target)
        if not nodes and self.is_stale:
            self.refresh()
            nodes = self.match(target)
        return nodes

    def add(self, edit: Edit, *, allow_empty: bool = False) -> None:
        """Take ``entry`` in, or raise and change nothing."""
        nodes = self.find(edit.target)
        if not nodes and not allow_empty:
            raise self.nothing_at(edit.target)
        path_shifts = [self._shift(edit, nodes)] if _moves_items(edit) else []
        replacements = replacements_by(self.edits, edit)
        for shift in path_shifts:
            replacements = shift.replacements(self.edits)
        edits = (
            [*with_replacements(self.edits, replacements), edit]
            if replacements
            else None
        )
        is_for_build = isinstance(edit, AddHook) or (
            isinstance(edit, CallMethod) and edit.moment != "after_init"
        )
        if is_for_build or not nodes:
            self._log_edit(edits, edit)
        elif not self._edit_leaves(nodes, replacements, edit):
            self._edit_with_dry_run(
                nodes, replacements, edit, edits or [*self.edits, edit]
            )
        else:
            self._log_edit(edits, edit)
        self.path_shifts = (*self.path_shifts, *path_shifts)

    def add_all(self, edits: Sequence[Edit], *, allow_empty: bool = False) -> None:
        """Take in ``entries``, of which the first makes room for the others."""
        if len(edits) == 1:
            self.add(edits[0], allow_empty=allow_empty)
            return
        draft = self.copy()
        draft.add(edits[0], allow_empty=allow_empty)
        for edit in edits[1:]:
            draft.add(edit)
        self.become(draft)

    def replay(self, edits: Sequence[Edit]) -> None:
        """Take in entries that were good together, without the steps between.

        They are called as they were after the last of them, so that a change of a
        list moves only what calls have asked for meanwhile, and that if it is first.
        """
        if not edits:
            return
        draft, first_edit = self.copy(), edits[0]
        if isinstance(first_edit, ChangeItems):
            shift = self._shift(first_edit, self.find(first_edit.target))
            edits_of_calls = [edit for edit in self.edits if not edit.is_logged]
            draft.edits = with_replacements(
                self.edits, shift.replacements(edits_of_calls)
            )
            draft.path_shifts = (*self.path_shifts, shift)
        draft.edits += edits
        draft._dry_run_if_complete(draft.tree, draft.edits)
        for edit in (e for e in edits if isinstance(e, SetArguments)):
            for node in draft.match(edit.target):
                check_arguments(edited_call_of(node, node.edits), node.path, edit)
        self.become(draft)

    def refresh(self) -> None:
        """Run the constructors again, where makers may have seen their parts change."""
        if self.is_stale:
            self._take_tree(dry_run(self.tree.copy(), self.edits, self.known_classes))

    def nothing_at(self, target: Target) -> SettingError:
        """Return the error for a path or pattern that means nothing."""
        target_text = (
            target if isinstance(target, str) else ", ".join(target) or "the selection"
        )
        if not target and not isinstance(target, str):
            return SettingError(
                target_text,
                "no module is constructed there: nothing was selected, or what was "
                "has been taken out of its list. Select again. "
                "allow_empty=True permits it.",
            )
        nearest_path = nearest(target_text, self.nodes_by_path)
        hint = f" Did you mean {nearest_path!r}?" if nearest_path else ""
        top_paths = [p for p in self.nodes_by_path if p and "." not in p]
        top_names = ", ".join(top_paths[:12]) or "nothing"
        kind = "pattern" if is_pattern(target_text) else "path"
        ready_hint = "" if is_repeatable(self.tree.arguments) else _READY
        return SettingError(
            target_text,
            f"no module is constructed at this {kind}.{hint} "
            f"At the top there are: {top_names}.{ready_hint} "
            "allow_empty=True permits it.",
        )

    def _match(self, target: Target) -> list[ConstructionNode]:
        if isinstance(target, str) and is_pattern(target):
            nodes = (
                node
                for path, node in self.nodes_by_path.items()
                if matches(target, path)
            )
        else:
            nodes = (
                self.nodes_by_path[p]
                for p in paths_of(target)
                if p in self.nodes_by_path
            )
        return list(dict.fromkeys(nodes))

    def _log_edit(self, edits: list[Edit] | None, edit: Edit) -> None:
        if edits is None:
            self.edits.append(edit)
        else:
            self.edits = edits

    def _edit_leaves(
        self,
        nodes: list[ConstructionNode],
        replacements: dict[int, Edit | None],
        edit: Edit,
    ) -> bool:
        """Change constructions that make no others in place; False if some do."""
        if not isinstance(edit, SetArguments) or not self.is_complete:
            return False
        edited_by_key: dict[Any, ConstructionNode | None] = {}
        edited_nodes: list[ConstructionNode] = []
        for node in nodes:
            # Equal layers share what was found out for the first of them.
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
            node.edits, node.passed_arguments, node.cls = (
                edited_node.edits,
                edited_node.passed_arguments,
                edited_node.cls,
            )
            node.arguments, node.missing_sizes = (
                edited_node.arguments,
                edited_node.missing_sizes,
            )
        self.is_stale = self.is_stale or nodes != [self.tree]
        return True

    def _edit_with_dry_run(
        self,
        nodes: list[ConstructionNode],
        replacements: dict[int, Edit | None],
        edit: Edit,
        edits: list[Edit],
    ) -> None:
        """Construct again what changes, and keep it if all went well."""
        for node in nodes:
            if isinstance(edit, SetArguments):
                node_edits = (*with_replacements(node.edits, replacements), edit)
                check_arguments(edited_call_of(node, node_edits), node.path, edit)
        # A list is changed once its owner has filled it.
        changed_nodes = self._makers(nodes) if isinstance(edit, ChangeItems) else nodes
        subtree = self._smallest_subtree(changed_nodes)
        copy = subtree.copy()
        if subtree is self.tree:
            self._dry_run_if_complete(copy, edits)
        else:
            new_subtree = dry_run(
                copy, concerning(edits, subtree.path), self.known_classes
            )
            _check_names(new_subtree)
            self._replace_subtree(subtree, new_subtree)
        self.edits = edits

    def _dry_run_if_complete(self, tree: ConstructionNode, edits: list[Edit]) -> None:
        call = edited_call_of(tree, EditIndex(edits).of(tree))
        sizes = missing_sizes(call.cls, call.arguments)
        self.is_complete = not missing_arguments(call.cls, [*call.arguments, *sizes])
        if self.is_complete:
            tree = dry_run(tree, edits, self.known_classes)
        else:
            tree.cls, tree.arguments = call.cls, describe_value(call.arguments)
        self._take_tree(tree)

    def _take_tree(self, tree: ConstructionNode) -> None:
        _check_names(tree)
        self.tree, self.is_stale = tree, False
        self._places = self._n_paths_below = None
        self._matched = {}

    def _shift(
        self, item_change: ChangeItems, nodes: list[ConstructionNode]
    ) -> PathShift:
        repeated_paths = (
            node.paths for node in self.tree.walk() if len(node.paths) > 1
        )
        other_paths = {path: paths for paths in repeated_paths for path in paths}
        return PathShift(item_change, list(self._item_names(nodes)), other_paths)

    def _item_names(self, nodes: list[ConstructionNode]) -> Iterator[ItemNames]:
        tree = [*self.nodes_by_path]
        for node in nodes:
            for path in node.paths:
                names = [child.rpartition(".")[2] for child in children(tree, path)]
                yield ItemNames(path, names, issubclass(node.cls, nn.ModuleDict))

    def _makers(self, nodes: list[ConstructionNode]) -> list[ConstructionNode]:
        node_ids = {id(made) for made in nodes}
        makers = [
            maker
            for maker in self.tree.walk()
            if any(id(child) in node_ids for child in maker.children)
        ]
        return makers if len(makers) == len(nodes) else [self.tree]

    def _smallest_subtree(self, nodes: list[ConstructionNode]) -> ConstructionNode:
        """Return what has to be constructed again when ``matched`` change.

        That is a part that can be, or everything.
        """
        if len(nodes) != 1 or len(nodes[0].paths) != 1 or nodes[0].is_copied:
            return self.tree
        subtree = nodes[0]
        if (
            not is_repeatable(subtree.passed_arguments)
            or subtree.inner_edits
            or subtree is self.tree
        ):
            return self.tree
        return subtree if self._holds_all_below(subtree) else self.tree

    def _holds_all_below(self, subtree: ConstructionNode) -> bool:
        """Return whether all that ``unit`` made is below it, and nothing else is."""
        if self._n_paths_below is None:
            self._n_paths_below = {}
            for path in self.nodes_by_path:
                for i in (
                    dot for dot, character in enumerate(path) if character == "."
                ):
                    parent_path = path[:i]
                    self._n_paths_below[parent_path] = (
                        self._n_paths_below.get(parent_path, 0) + 1
                    )
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
        """Let ``unit`` be as ``found`` was made in its place."""
        old_paths = [path for node in subtree.walk() for path in node.paths]
        for name in (
            "children",
            "edits",
            "inner_edits",
            "cls",
            "arguments",
            "missing_sizes",
        ):
            setattr(subtree, name, getattr(new_subtree, name))
        self.is_stale, self._matched = True, {}
        if old_paths == [path for node in subtree.walk() for path in node.paths]:
            for node in subtree.walk():
                self.nodes_by_path.update(dict.fromkeys(node.paths, node))
        else:
            self._places = self._n_paths_below = None


def _moves_items(edit: Edit) -> TypeGuard[ChangeItems]:
    """Return whether items of lists have other names after ``entry``."""
    return isinstance(edit, ChangeItems) and not edit.moves_no_paths


def _check_names(tree: ConstructionNode) -> None:
    """Raise `SettingError` where a maker now chooses a class that lacks an argument.

    By hand the class would refuse it; left out, a setting would be lost unnoticed.
    """
    for node in tree.walk():
        if node.edits:
            call = edited_call_of(node, node.edits)
            for name in call.sources:
                check_name(call.cls, name, node.path)


_READY = " A module that is passed ready-made stays as it is: pass a Blueprint."


def missing_sizes_of(draft: Draft) -> dict[str, tuple[str, ...]]:
    """Return the sizes that only an example can tell, by path."""
    return {
        m.path: m.missing_sizes
        for m in draft.tree.walk()
        if m.missing_sizes and m.paths
    }
