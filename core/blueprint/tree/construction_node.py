"""A construction that was watched: what was made, of what, in what, and where it is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..edits.edits import Edit


@dataclass(slots=True, eq=False)
class ConstructionNode:
    """One construction, with those that ran while its constructor did."""

    original_cls: type[nn.Module]
    """The class that was called."""
    children: "list[ConstructionNode]" = field(default_factory=list["ConstructionNode"])
    paths: tuple[str, ...] = ()
    """Where it ended, first name first; nowhere if it was thrown away."""
    ranks: tuple[tuple[int, ...], ...] = ()
    """The position of each of ``paths`` among all, in the order of the module."""
    is_copied: bool = False
    """Whether several modules at ``paths`` are copies of the one that was made."""
    edits: tuple[Edit, ...] = ()
    """What is to be changed when it is made."""
    inner_edits: tuple[Edit, ...] = ()
    """What blueprints used inside a constructor changed already."""
    passed_arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    """What its maker passed, by name."""
    cls: type[nn.Module] = nn.Module
    """What was made instead, or ``asked``."""
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    """What it was made of in the end, by name."""
    missing_sizes: tuple[str, ...] = ()
    """Sizes that only an example can tell."""

    @property
    def path(self) -> str:
        """Where it ended first."""
        return self.paths[0] if self.paths else ""

    @property
    def rank(self) -> tuple[int, ...]:
        """The position of ``path``."""
        return self.ranks[0] if self.ranks else ()

    def walk(self) -> "Iterator[ConstructionNode]":
        """Yield this and all that was made inside, in the order of construction."""
        yield self
        for child in self.children:
            yield from child.walk()

    def copy(self) -> "ConstructionNode":
        """Return the same, to be changed without changing this."""
        copy = self.without_children()
        copy.children = [child.copy() for child in self.children]
        return copy

    def without_children(self) -> "ConstructionNode":
        """Return the same without what was made inside."""
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
        )


def first_difference(
    expected: ConstructionNode, actual: ConstructionNode
) -> tuple[str, str] | None:
    """Return where two trees differ and how, None if they are alike."""
    if (
        expected.original_cls is not actual.original_cls
        or expected.paths != actual.paths
    ):
        message = (
            f"{_at(expected)} was made the first time, {_at(actual)} the second time"
        )
        return expected.path or actual.path, message
    for expected_child, actual_child in zip(
        expected.children, actual.children, strict=False
    ):
        inner_difference = first_difference(expected_child, actual_child)
        if inner_difference is not None:
            return inner_difference
    n_expected, n_actual = len(expected.children), len(actual.children)
    if n_expected == n_actual:
        return None
    extra_child = (expected if n_expected > n_actual else actual).children[
        min(n_expected, n_actual)
    ]
    when = "only the first time" if n_expected > n_actual else "only the second time"
    return extra_child.path or actual.path, f"{_at(extra_child)} was made {when}"


@dataclass(frozen=True, slots=True)
class OpaqueValue:
    """Stands for an argument that cannot be given again: a module, a tensor."""

    text: str

    def __repr__(self) -> str:
        return self.text


def describe_value(value: Any) -> Any:
    """Return ``value`` with `Passed` for what is used up or alive."""
    if value is None or isinstance(value, int | float | str | type):
        return value
    if isinstance(value, nn.Module):
        return OpaqueValue(f"<{type(value).__qualname__}>")
    if isinstance(value, torch.Tensor):
        return OpaqueValue(f"<tensor of {tuple(value.shape)}>")
    if isinstance(value, Iterator):
        return OpaqueValue(f"<{type(value).__name__}>")
    if type(value) is dict:
        return {key: describe_value(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(describe_value, value))
    return value


def is_repeatable(value: Any) -> bool:
    """Return whether ``value`` can be passed once more."""
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
