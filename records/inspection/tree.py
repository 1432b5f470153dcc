"""The entries of a record as a tree by name, in which blocks that repeat are one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ..entries.entry import Entry

_DEEPEST = 48
"""Levels of the tree; what lies deeper keeps its dots. Names may have thousands."""


@dataclass(slots=True)
class Node:
    """A name in the tree: what stands at it, and what stands below."""

    name: str
    """One part of a path, several that lead to one thing, or ``layers.{0...11}``."""
    children: list[Node] = field(default_factory=list["Node"])
    leaf: Leaf | None = None
    n_alike: int = 1
    """For how many blocks that are alike it stands; it is the first of them."""

    @property
    def leaves(self) -> Iterator[tuple[Leaf, int]]:
        """Yield all leaves at and below it, each with how many it stands for."""
        waiting = [(self, 1)]
        while waiting:
            node, n_around = waiting.pop()
            n = n_around * node.n_alike
            if node.leaf is not None:
                yield node.leaf, n
            waiting += [(child, n) for child in reversed(node.children)]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor at one of its paths, or plain data."""

    path: str
    entry: Entry | None = None
    tied_to: str | None = None
    """The first path of a tensor that stands at several; it is counted there."""
    value: object = None
    """The plain data, where there is no entry."""

    @property
    def n_values(self) -> int:
        """How many numbers of a tensor are counted here."""
        is_counted = self.entry is not None and self.tied_to is None
        return math.prod(self.entry.shape) if is_counted and self.entry else 0

    @property
    def nbytes(self) -> int:
        """How many bytes of a tensor are counted here."""
        is_counted = self.entry is not None and self.tied_to is None
        return self.entry.nbytes if is_counted and self.entry else 0


def leaves_of(
    entries: Iterable[Entry], plain_values: Iterable[tuple[str, object]] = ()
) -> list[Leaf]:
    """Return the entries at each of their paths, and plain data by path."""
    leaves: list[Leaf] = []
    for entry in entries:
        leaves.append(Leaf(entry.path, entry))
        leaves += [Leaf(path, entry, entry.path) for path in entry.ties]
    return [*leaves, *(Leaf(path, value=value) for path, value in plain_values)]


def tree_of(
    leaves: Iterable[Leaf],
    split: Callable[[str], list[str]] = lambda path: path.split("."),
    *,
    is_collapsed: bool = True,
) -> Node:
    """Return the tree of ``leaves``; ``split`` takes a path apart.

    If ``is_collapsed``, neighbours that are numbered and hold the same (names, shapes,
    dtypes, kinds; any values) are one node.
    """
    root = _Grown("")
    for leaf in leaves:
        parts = split(leaf.path)
        if len(parts) > _DEEPEST:
            parts = [*parts[: _DEEPEST - 1], ".".join(parts[_DEEPEST - 1 :])]
        root.put(parts, leaf)
    builder = _Builder(is_collapsed=is_collapsed)
    return builder.node(root)[0]


class _Grown:
    """A name with what is below it, while paths are put in."""

    __slots__ = ("below", "leaf", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.below: dict[str, _Grown] = {}
        self.leaf: Leaf | None = None

    def put(self, parts: list[str], leaf: Leaf) -> None:
        place = self
        for part in parts:
            below = place.below.get(part)
            if below is None:
                below = place.below[part] = _Grown(part)
            place = below
        place.leaf = leaf

    def in_order(self) -> list[_Grown]:
        """Return what is below, numbers by their size: files may sort them as texts."""
        if all(name.isdecimal() and len(name) < 18 for name in self.below):
            return sorted(self.below.values(), key=lambda grown: int(grown.name))
        return list(self.below.values())


class _Builder:
    """Makes nodes from the leaves up; equal forms get equal numbers."""

    def __init__(self, *, is_collapsed: bool) -> None:
        self.is_collapsed = is_collapsed
        self._forms: dict[object, int] = {}

    def node(self, grown: _Grown) -> tuple[Node, int]:
        """Return the node and the number of its form."""
        if not grown.below:
            # Nearly all of hundreds of thousands are such.
            number = self._number_of((_form_of(grown.leaf), ()))
            return Node(grown.name, [], grown.leaf), number
        grown = _as_list(grown)
        pairs = [self.node(child) for child in grown.in_order()]
        form = (
            _form_of(grown.leaf),
            tuple((child.name, number) for child, number in pairs),
        )
        node = Node(grown.name, self._merged(pairs), grown.leaf)
        number = self._number_of(form)
        if len(node.children) == 1 and node.leaf is None:
            node = _shortened(node)
        return node, number

    def _number_of(self, form: object) -> int:
        return self._forms.setdefault(form, len(self._forms))

    def _merged(self, pairs: list[tuple[Node, int]]) -> list[Node]:
        if not self.is_collapsed:
            return [node for node, _ in pairs]
        nodes: list[Node] = []
        numbers = [_number(node) for node, _ in pairs]
        start = 0
        while start < len(pairs):
            end, number = start + 1, numbers[start]
            # As long as the next number follows, and has the same form.
            while (
                number is not None
                and end < len(pairs)
                and numbers[end] == number + end - start
                and pairs[end][1] == pairs[start][1]
            ):
                end += 1
            nodes.append(_repeated([node for node, _ in pairs[start:end]]))
            start = end
        return nodes


def _as_list(grown: _Grown) -> _Grown:
    """Return a list of plain data as one leaf; ``grown`` itself for all else."""
    if grown.leaf is not None or "0" not in grown.below:
        return grown
    items = [grown.below.get(str(i)) for i in range(len(grown.below))]
    leaves = [item.leaf for item in items if item is not None and not item.below]
    is_plain = bool(leaves) and all(leaf and leaf.entry is None for leaf in leaves)
    if len(leaves) < len(items) or not is_plain:
        return grown
    path = leaves[0].path.rpartition(".")[0] if leaves[0] else ""
    joined = _Grown(grown.name)
    joined.leaf = Leaf(path, value=[leaf.value for leaf in leaves if leaf])
    return joined


def _number(node: Node) -> int | None:
    name = node.name.partition(".")[0]
    return int(name) if name.isdecimal() and len(name) < 18 else None


def _repeated(nodes: list[Node]) -> Node:
    if len(nodes) == 1:
        return nodes[0]
    node, (number, dot, suffix) = nodes[0], nodes[0].name.partition(".")
    end = nodes[-1].name.partition(".")[0]
    name = f"{{{number}...{end}}}{dot}{suffix}"
    return Node(name, node.children, node.leaf, n_alike=len(nodes) * node.n_alike)


def _shortened(node: Node) -> Node:
    """Return the only child of ``node`` under both names."""
    child = node.children[0]
    name = f"{node.name}.{child.name}" if node.name else child.name
    return Node(name, child.children, child.leaf, child.n_alike)


def _form_of(leaf: Leaf | None) -> object:
    if leaf is None or leaf.entry is None:
        return leaf and (repr(leaf.value),)
    entry = leaf.entry
    return (
        entry.dtype,
        entry.shape,
        entry.kind,
        entry.requires_grad,
        leaf.tied_to is None,
    )
