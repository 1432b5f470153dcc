"""One construction in the tree of a blueprint: its class, arguments and paths.

Its maker is the construction inside whose constructor it ran; the root has none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from ..edits.computed import ComputedValue
from ..edits.edits import Edit
from ..edits.wrapped import WrappedCall


@dataclass(slots=True, eq=False)
class ConstructionNode:
    """One construction, with those that ran inside of it as children."""

    original_cls: type[nn.Module]
    """The class that the maker called."""
    children: "list[ConstructionNode]" = field(default_factory=list["ConstructionNode"])
    paths: tuple[str, ...] = ()
    """The paths of the module, first name first; none if it was discarded."""
    ranks: tuple[tuple[int, ...], ...] = ()
    """The position of each of ``paths`` in the module: index by index, as in a path."""
    is_copied: bool = False
    """Whether the modules at ``paths`` are copies of the constructed one."""
    edits: tuple[Edit, ...] = ()
    """The edits that apply to it, the strongest last."""
    inner_edits: tuple[Edit, ...] = ()
    """Edits of blueprints that its makers built inside of them, which come first."""
    passed_arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    """The arguments by name, as the maker passed them."""
    cls: type[nn.Module] = nn.Module
    """The class that was constructed: ``original_cls``, or one that an edit chose."""
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    """The arguments by name, after all edits."""
    missing_sizes: tuple[str, ...] = ()
    """The arguments that only an example determines."""
    computed: dict[str, ComputedValue] = field(default_factory=dict[str, ComputedValue])
    """Values computed for the arguments, by name, or by path below one."""
    inner_tree: "InnerTree | None" = None
    """The view of an inner blueprint built by its maker, if this is its root."""
    is_inside_another: bool = False
    """Whether it was constructed by a blueprint that one of its makers built."""
    is_foreign: bool = False
    """Whether an outer blueprint put it, or its maker, here.

    The edits of this blueprint were meant for another module.
    """

    @property
    def path(self) -> str:
        """The first of the paths, "" for a module that was discarded."""
        return self.paths[0] if self.paths else ""

    @property
    def rank(self) -> tuple[int, ...]:
        """The position of ``path`` in the module."""
        return self.ranks[0] if self.ranks else ()

    def walk(self) -> "Iterator[ConstructionNode]":
        """Yield the node and all that were constructed inside, in that order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def copy(self) -> "ConstructionNode":
        """Return a copy of the subtree, whose nodes can be changed independently."""
        copy = self.without_children()
        copy.children = [child.copy() for child in self.children]
        if self.inner_tree is not None:
            copy.inner_tree = self.inner_tree.copy()
        return copy

    def without_children(self) -> "ConstructionNode":
        """Return a copy of the node without its children."""
        return ConstructionNode(
            original_cls=self.original_cls,
            paths=self.paths,
            ranks=self.ranks,
            is_copied=self.is_copied,
            edits=self.edits,
            inner_edits=self.inner_edits,
            passed_arguments=self.passed_arguments,
            cls=self.cls,
            arguments=self.arguments,
            missing_sizes=self.missing_sizes,
            computed=self.computed,
            inner_tree=self.inner_tree,
            is_inside_another=self.is_inside_another,
            is_foreign=self.is_foreign,
        )


@dataclass(frozen=True, slots=True, eq=False)
class InnerTree:
    """The same constructions as an inner blueprint sees them, with its own paths.

    It has its own edits, and those of the outer ones come after them.
    """

    tree: ConstructionNode
    edits: tuple[Edit, ...]

    def copy(self) -> "InnerTree":
        """Return a copy whose nodes can be changed independently."""
        return InnerTree(self.tree.copy(), self.edits)


def tree_difference(
    expected: ConstructionNode, actual: ConstructionNode
) -> tuple[str, str] | None:
    """Return the path at which two trees differ, and how; None if they are equal."""
    is_same_class = expected.original_cls is actual.original_cls
    if not is_same_class or expected.paths != actual.paths:
        return expected.path or actual.path, (
            f"{_at(expected)} was built in the first run, "
            f"{_at(actual)} in the second run"
        )
    # An extra child is named only if all before it agree: the first difference is the
    # cause of those that follow.
    for pair in zip(expected.children, actual.children, strict=False):
        inner_difference = tree_difference(*pair)
        if inner_difference is not None:
            return inner_difference
    n_expected, n_actual = len(expected.children), len(actual.children)
    if n_expected == n_actual:
        return None
    longer = expected if n_expected > n_actual else actual
    extra_child = longer.children[min(n_expected, n_actual)]
    when = "only in the first run" if longer is expected else "only in the second run"
    return extra_child.path or actual.path, f"{_at(extra_child)} was built {when}"


@dataclass(frozen=True, slots=True)
class OpaqueValue:
    """Replaces an argument that cannot be passed again: a module, a tensor."""

    text: str

    def __repr__(self) -> str:
        return self.text


def describe_value(value: Any) -> Any:
    """Return ``value`` with `OpaqueValue` for parts that cannot be reused or kept.

    A tree outlives the runs: it must not keep their modules and tensors alive.
    """
    if value is None or isinstance(value, int | float | str | type):
        return value
    if isinstance(value, nn.Module):
        return OpaqueValue(f"<{type(value).__qualname__}>")
    if isinstance(value, torch.Tensor):
        return OpaqueValue(f"<tensor of {tuple(value.shape)}>")
    if isinstance(value, WrappedCall):
        return replace(value, arguments=describe_value(dict(value.arguments)))
    if isinstance(value, Iterator):
        return OpaqueValue(f"<{type(value).__name__}>")
    if type(value) is dict:
        return {key: describe_value(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(describe_value, value))
    return value


def is_repeatable(value: object) -> bool:
    """Return whether ``value`` can be passed again."""
    if isinstance(value, OpaqueValue):
        return False
    if isinstance(value, Mapping):
        return all(map(is_repeatable, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_repeatable, value))
    return True


def _at(node: ConstructionNode) -> str:
    where = f" at {node.path}" if node.paths else ", which is in no field,"
    return f"{node.original_cls.__qualname__}{where}"
