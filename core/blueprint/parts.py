"""A selection of the modules that a draft will have, with their present paths."""

from collections.abc import Callable
from typing import Self

from torch import nn

from ...config.patterns import is_pattern
from ...config.short_text import first_names
from .construction.draft import Draft
from .edits.edits import Target
from .edits.selector import Selector, children, means_one, select, spelled
from .errors import SettingError
from .tree.construction_node import ConstructionNode
from .tree.edit_log import paths_of

_WITH_ITEMS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)


class Parts:
    """The constructions that a path, a pattern or a selector matches, in one draft."""

    def __init__(
        self,
        draft: Draft,
        target: Target,
        find_paths: Callable[[], list[str]] | None = None,
        *,
        is_single: bool = False,
    ) -> None:
        self.draft = draft
        self.is_single = is_single
        """Whether it means exactly one part, for any tree."""
        self._first_target, self._find_paths = target, find_paths
        self._first_shifts = draft.path_shifts

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that exist."""
        self.draft.refresh()
        if self._find_paths is not None:
            return tuple(self._find_paths())
        nodes_by_path = self.draft.nodes_by_path
        return tuple(path for path in paths_of(self.target) if path in nodes_by_path)

    @property
    def target(self) -> Target:
        """The present paths of the selection: none if it is gone."""
        target: Target | None = self._first_target
        path_shifts, n_first = self.draft.path_shifts, len(self._first_shifts)
        if path_shifts[:n_first] != self._first_shifts:
            return ()  # These parts came with an edit that was undone.
        for shift in path_shifts[n_first:]:
            target = None if target is None else shift.target_after(target)
        return () if target is None else target

    def nodes(self) -> list[ConstructionNode]:
        """Return the constructions; none if there are none."""
        return self.draft.find(self.target)

    def existing_nodes(self) -> list[ConstructionNode]:
        """Return the constructions; raise `SettingError` if there are none."""
        nodes = self.nodes()
        if not nodes:
            raise self.draft.nothing_at(self.target)
        return nodes

    def single_node(self) -> ConstructionNode:
        """Return the construction; raise `SettingError` unless there is exactly one."""
        self.draft.refresh()
        nodes = self.existing_nodes()
        if len(nodes) > 1:
            paths = first_names((node.path for node in nodes), 4)
            raise SettingError(
                nodes[0].path,
                f"expected one part, but {len(nodes)} are selected: {paths}. Take "
                "each by its path or index, or take .first, the first of them.",
            )
        return nodes[0]

    def select(self, selector: Selector) -> Self:
        """Return those that ``selector`` matches below these."""
        base = self.target
        name = spelled(base, selector) if isinstance(base, str) else None
        is_single = self.is_single and means_one(selector)
        if name is None:
            return self.at(*self._select_paths(selector), is_single=is_single)
        # A pattern is matched again each time, since parts that come later may match.
        is_fixed = not is_pattern(name)
        find_paths = None if is_fixed else lambda: self._select_paths(selector)
        return type(self)(self.draft, name, find_paths, is_single=is_single)

    def at(self, *paths: str, is_single: bool = False) -> Self:
        """Return those that are at ``paths`` now."""
        target = paths[0] if len(paths) == 1 else paths
        return type(self)(self.draft, target, is_single=is_single)

    def with_inner(self) -> Self:
        """Return these with all their descendants."""
        return self.at(*self._select_paths(...))

    def item_names(self) -> list[str] | None:
        """Return the names of the items, if it is a single list or dict of modules."""
        if not self.is_single:
            return None
        nodes = self.nodes()
        is_list = len(nodes) == 1 and issubclass(nodes[0].cls, _WITH_ITEMS)
        return self.child_names() if is_list else None

    def all_have_items(self) -> bool:
        """Return whether all are lists or dicts of modules."""
        nodes = self.nodes()
        return bool(nodes) and all(issubclass(n.cls, _WITH_ITEMS) for n in nodes)

    def child_names(self, *paths: str) -> list[str]:
        """Return the names of the children of the parts at ``paths``, or of all."""
        tree = list(self.draft.nodes_by_path)
        below = [p for path in paths or self.paths for p in children(tree, path)]
        return list(dict.fromkeys(path.rpartition(".")[2] for path in below))

    def _select_paths(self, selector: Selector) -> list[str]:
        bases = self.paths
        return select(list(self.draft.nodes_by_path), bases, selector)
