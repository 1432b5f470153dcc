"""Parts from dry runs, reused for equal parts at other paths."""

import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from ....config.path import join
from ..edits.edits import CallMethod, ChangeItems, Edit, SetArguments
from ..tree.construction_node import ConstructionNode
from ..tree.edit_log import EditIndex

_MAX_PARTS = 100
"""Maximal number of parts in a cache before it is emptied."""

_BY_VALUE = (bool, int, float, str, types.NoneType)
_BY_IDENTITY = (type, torch.dtype, types.FunctionType, types.BuiltinFunctionType)


class PartCache:
    """Keeps the results of dry runs of parts, so that equal ones need no run.

    A part that is constructed alone is determined by its class, its arguments and the
    edits in it. If it depends on something else, such as a counter of its class, this
    shows when the makers run again, as it does for a part that ran.
    """

    def __init__(self) -> None:
        self._parts: dict[object, ConstructionNode] = {}

    def add(self, part: ConstructionNode) -> None:
        """Keep ``part``, the result of a dry run, which is not changed any more."""
        key = _key(part, part.edits)
        if key is None or not all(map(_is_plain, part.walk())):
            return
        if len(self._parts) >= _MAX_PARTS:
            self._parts.clear()
        # The draft continues to edit the nodes of its own tree in place.
        self._parts[key] = part.copy()

    def edited_part(
        self, part: ConstructionNode, edits: Sequence[Edit]
    ) -> ConstructionNode | None:
        """Return new nodes of ``part`` after ``edits``, None if it has to run."""
        edit_index = EditIndex(edits)
        key = _key(part, edit_index.of(part))
        like = None if key is None else self._parts.get(key)
        if like is None:
            return None
        copy = _copy_at(like, like, part)
        # A pattern may match a path inside of this part and not that of its equal.
        for node, node_like in zip(copy.walk(), like.walk(), strict=True):
            node.edits = edit_index.of(node)
            edits_key = _edits_key(node.edits)
            # If only a run shows the effect of edits, no two parts count as equal.
            if edits_key is None or edits_key != _edits_key(node_like.edits):
                return None
        return copy


def _copy_at(
    node: ConstructionNode, old_root: ConstructionNode, root: ConstructionNode
) -> ConstructionNode:
    """Return a copy of ``node``, placed in ``root`` as it is in ``old_root``."""
    copy = node.without_children()
    n_characters, n_ranks = len(old_root.path) + 1, len(old_root.rank)
    copy.paths = tuple([join(root.path, path[n_characters:]) for path in node.paths])
    copy.ranks = tuple([(*root.rank, *rank[n_ranks:]) for rank in node.ranks])
    copy.children = [_copy_at(child, old_root, root) for child in node.children]
    return copy


def _is_plain(node: ConstructionNode) -> bool:
    """Return whether ``node`` depends on nothing but arguments and edits."""
    is_of_another = node.is_inside_another or node.is_foreign or node.inner_tree
    return not (is_of_another or node.inner_edits or node.computed)


def _key(part: ConstructionNode, edits: Iterable[Edit]) -> object:
    """Return a key that is equal for equal parts, None if there is none."""
    arguments_key, edits_key = values_key(part.passed_arguments), _edits_key(edits)
    if arguments_key is None or edits_key is None:
        return None
    return part.original_cls, arguments_key, edits_key


def _edits_key(edits: Iterable[Edit]) -> tuple[object, ...] | None:
    """Return the effect of ``edits`` on a construction; None if only a run shows it."""
    keys: list[object] = []
    for edit in edits:
        if isinstance(edit, SetArguments):
            arguments_key = values_key(edit.arguments)
            # A wrapped part has another path after the run.
            if arguments_key is None or edit.wraps_at:
                return None
            keys.append((edit.cls, edit.keeps_arguments, arguments_key))
        # A change of items builds parts from a blueprint, and a call runs a user's
        # code.
        elif isinstance(edit, ChangeItems) or (
            isinstance(edit, CallMethod) and edit.moment == "after_init"
        ):
            return None
    return tuple(keys)


def values_key(values: Mapping[str, Any]) -> tuple[object, ...] | None:
    """Return a key that identifies ``values``, None if there is no reliable one."""
    keys = [(name, _value_key(value)) for name, value in values.items()]
    return None if any(key is None for _, key in keys) else tuple(keys)


def _value_key(value: Any) -> tuple[object, ...] | None:
    """Return a key that identifies ``value``, None if there is no reliable one."""
    kind = type(value)
    if kind in _BY_VALUE:
        # The type matters, since 1 equals True, and so does the sign of a zero.
        return kind, repr(value) if kind is float else value
    if kind in (tuple, list):
        keys = list(map(_value_key, value))
        return None if None in keys else (kind, *keys)
    return (value,) if isinstance(value, _BY_IDENTITY) else None
