"""The entries of a record as a tree by name, in which blocks that repeat are one."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ..entries.entry import Entry

_DEEPEST = 48
"""Levels of the tree; what lies deeper keeps its dots. Names may have thousands."""


@dataclass(slots=True)
class Node:
    """A name in the tree: what stands at it, and what stands below."""

    name: str
    """One part of a path, several that lead to one thing, or ``layers.{0...11}``.

    That of the root is empty, and so may be one in a file of others.
    """
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
) -> Iterator[Leaf]:
    """Yield the entries at each of their paths, and plain data by path."""
    for entry in entries:
        yield Leaf(entry.path, entry)
        for path in entry.ties:
            yield Leaf(path, entry, entry.path)
    for path, value in plain_values:
        yield Leaf(path, value=value)


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
    root = _Names()
    for leaf in leaves:
        parts = split(leaf.path)
        if len(parts) > _DEEPEST:
            parts = [*parts[: _DEEPEST - 1], ".".join(parts[_DEEPEST - 1 :])]
        root.put(parts, leaf)
    builder = _Builder(is_collapsed=is_collapsed)
    return builder.node("", root, is_root=True)[0]


class _Names:
    """What is below a name, while paths are put in: names, leaves, or both at one.

    A file may have hundreds of thousands, so that a leaf is its entry where that says
    all, and a `Leaf` is made of it when its node is.
    """

    __slots__ = ("below", "leaf")

    def __init__(self, leaf: Leaf | Entry | None = None) -> None:
        self.below: dict[str, _Names | Leaf | Entry] = {}
        self.leaf = leaf

    def put(self, parts: list[str], leaf: Leaf) -> None:
        place = self
        for part in parts[:-1]:
            below = place.below.get(part)
            if not isinstance(below, _Names):
                below = place.below[sys.intern(part)] = _Names(below)
            place = below
        entry = leaf.entry
        value: Leaf | Entry = leaf
        if entry is not None and leaf.tied_to is None and leaf.path == entry.path:
            value = entry
        below = place.below.get(parts[-1])
        if isinstance(below, _Names):
            below.leaf = value
        else:
            place.below[sys.intern(parts[-1])] = value

    def in_order(self) -> Iterator[tuple[str, _Names | Leaf | Entry]]:
        """Yield what is below, numbers by their size: files may sort them as texts."""
        names: Iterable[str] = self.below
        if all(name.isdecimal() and len(name) < 18 for name in names):
            names = sorted(names, key=int)
        return ((name, self.below[name]) for name in names)


class _Builder:
    """Makes nodes from the leaves up; equal forms get equal numbers."""

    def __init__(self, *, is_collapsed: bool) -> None:
        self.is_collapsed = is_collapsed
        self._forms: dict[object, int] = {}

    def node(
        self, name: str, below: _Names | Leaf | Entry, *, is_root: bool = False
    ) -> tuple[Node, int]:
        """Return the node and the number of its form."""
        if isinstance(below, _Names):
            below = _as_list(below)
        if not isinstance(below, _Names):
            # Nearly all of hundreds of thousands are such.
            leaf = _leaf(below)
            return Node(name, [], leaf), self._number_of((_form_of(leaf), ()))
        leaf = _leaf(below.leaf)
        node, forms = Node(name, [], leaf), list[tuple[str, int]]()
        run = _Run(node.children)
        for child_name, of_child in below.in_order():
            child, form = self.node(child_name, of_child)
            forms.append((child.name, form))
            if self.is_collapsed:
                run.add(child, form)
            else:
                node.children.append(child)
        run.end()
        number = self._number_of((_form_of(leaf), tuple(forms)))
        if len(node.children) == 1 and leaf is None and not is_root:
            node = _shortened(node)
        return node, number

    def _number_of(self, form: object) -> int:
        return self._forms.setdefault(form, len(self._forms))


class _Run:
    """Neighbours that are numbered and alike, of which the first one is kept."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._first: Node | None = None
        self._last, self._n = "", 0
        self._next: tuple[str, int] | None = None
        """The number, as it is written, and the form that go on with it."""

    def add(self, node: Node, form: int) -> None:
        """Add the next child: to the run, if its number follows and its form is its."""
        number = _number(node)
        if number is None or (number, form) != self._next:
            self.end()
            self._first = node
        self._last, self._n = node.name, self._n + 1
        self._next = None if number is None else (_next_number(number), form)

    def end(self) -> None:
        """Put the node of the run to the others."""
        if self._first is not None:
            self._nodes.append(_repeated(self._first, self._last, self._n))
        self._first, self._n = None, 0


def _leaf(leaf: Leaf | Entry | None) -> Leaf | None:
    return Leaf(leaf.path, leaf) if isinstance(leaf, Entry) else leaf


def _as_list(names: _Names) -> _Names | Leaf:
    """Return a list of plain data as one leaf; ``names`` itself for all else."""
    if names.leaf is not None or "0" not in names.below:
        return names
    items = [names.below.get(str(i)) for i in range(len(names.below))]
    leaves = [item for item in items if isinstance(item, Leaf) and item.entry is None]
    if len(leaves) < len(items):
        return names
    path = leaves[0].path.rpartition(".")[0]
    return Leaf(path, value=[leaf.value for leaf in leaves])


def _number(node: Node) -> str | None:
    name = node.name.partition(".")[0]
    return name if name.isascii() and name.isdecimal() and len(name) < 18 else None


def _next_number(number: str) -> str:
    """Return the number after ``number`` with zeros before it where that has some."""
    return str(int(number) + 1).zfill(len(number))


def _repeated(node: Node, last_name: str, n: int) -> Node:
    """Return the node of ``n`` neighbours, of which ``node`` is the first."""
    if n == 1:
        return node
    number, dot, suffix = node.name.partition(".")
    end = last_name.partition(".")[0]
    name = f"{{{number}...{end}}}{dot}{suffix}"
    return Node(name, node.children, node.leaf, n_alike=n * node.n_alike)


def _shortened(node: Node) -> Node:
    """Return the only child of ``node`` under both names."""
    child = node.children[0]
    return Node(f"{node.name}.{child.name}", child.children, child.leaf, child.n_alike)


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
