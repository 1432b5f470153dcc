"""The entries of a record as a tree by name, in which repeated blocks are merged."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import overload

from ..entries.entry import Entry

_DEEPEST = 48
"""Levels of the tree; deeper names keep their dots. Names may have thousands."""


@dataclass(slots=True)
class Node:
    """A name in the tree: the values at it, and those below."""

    name: str
    """One part of a path, several with a single child, or ``layers.{0...11}``.

    That of the root is empty, and so may be one in another library's file.
    """
    children: Sequence[Node] = ()
    leaf: Leaf | None = None
    n_alike: int = 1
    """The number of equal blocks that it represents; it is the first of them."""

    @property
    def leaves(self) -> Iterator[tuple[Leaf, int]]:
        """All leaves at and below it, each with the number it represents."""
        return _leaves_below(self, 1)


def _leaves_below(node: Node, n_around: int) -> Iterator[tuple[Leaf, int]]:
    n = n_around * node.n_alike
    if node.leaf is not None:
        yield node.leaf, n
    # Children may be created one by one, so that no list of them is built.
    for child in node.children:
        yield from _leaves_below(child, n)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor at one of its paths, or plain data."""

    path: str
    entry: Entry | None = None
    tied_to: str | None = None
    """The first path of a tensor that has several; it is counted there."""
    value: object = None
    """The plain data, if there is no entry."""

    @property
    def n_values(self) -> int:
        """The number of a tensor's values that are counted here."""
        is_counted = self.entry is not None and self.tied_to is None
        return math.prod(self.entry.shape) if is_counted and self.entry else 0

    @property
    def nbytes(self) -> int:
        """The number of a tensor's bytes that are counted here."""
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
    """Return the tree of ``leaves``; ``split`` splits a path.

    If ``is_collapsed``, numbered neighbors with equal content (names, shapes, dtypes,
    kinds; any values, in any order) are one node.
    """

    def parts_of(path: str) -> list[str]:
        parts = split(path)
        if len(parts) > _DEEPEST:
            parts = [*parts[: _DEEPEST - 1], ".".join(parts[_DEEPEST - 1 :])]
        return parts

    root = _Names()
    for leaf in leaves:
        root.put(leaf, parts_of)
    if is_collapsed:
        return _Builder(parts_of).node("", root, 0)[0]
    return _uncollapsed("", root, 0, parts_of)


_Split = Callable[[str], list[str]]


class _Names:
    """The content below a name, while paths are added: names, leaves, or both.

    A file may have hundreds of thousands, so that a leaf is only its entry if that
    suffices, and a `Leaf` is created with its node. A single entry below a name is
    stored there, and the rest of its path is parsed when another one is added.
    """

    __slots__ = ("below", "leaf")

    def __init__(self, leaf: Leaf | None = None) -> None:
        self.below: dict[str, _Names | Leaf | Entry] = {}
        self.leaf: Leaf | Entry | None = leaf

    def put(self, leaf: Leaf, parts_of: _Split) -> None:
        """Add a leaf, at its path."""
        entry = leaf.entry
        value: Leaf | Entry = leaf
        if entry is not None and leaf.tied_to is None and leaf.path == entry.path:
            value = entry
        self._put(value, parts_of(leaf.path), 0, parts_of)

    def _put(
        self, leaf: Leaf | Entry, parts: list[str], depth: int, parts_of: _Split
    ) -> None:
        place = self
        for i in range(depth, len(parts)):
            part = parts[i]
            below = place.below.get(part)
            if below is None and (isinstance(leaf, Entry) or i == len(parts) - 1):
                place.below[_shared(part)] = leaf
                return
            if not isinstance(below, _Names):
                before, below = below, _Names()
                place.below[_shared(part)] = below
                if before is not None:
                    below._put(before, parts_of(before.path), i + 1, parts_of)
            place = below
        place.leaf = leaf

    def in_order(self) -> list[str]:
        """Return the names below, numbers by size: files may sort them as strings."""
        names = list(self.below)
        if all(name.isdecimal() and len(name) < 18 for name in names):
            names.sort(key=int)
        return names


def _shared(part: str) -> str:
    """Return one object for a name that many blocks have, and a number unchanged.

    With 200,000 different ones the table of shared strings alone takes 10 MiB.
    """
    return part if part.isdecimal() else sys.intern(part)


def _uncollapsed(
    name: str, below: _Names | Leaf | Entry, depth: int, parts_of: _Split
) -> Node:
    """Return the node of a name, whose children are created on access."""
    if isinstance(below, _Names):
        below = _as_list(below)
    if not isinstance(below, _Names):
        return Node(_whole_name(name, below, depth, parts_of), (), _leaf(below))
    children = _Children(below, depth + 1, parts_of)
    node = Node(name, children, _leaf(below.leaf))
    is_link = depth > 0 and len(children) == 1 and node.leaf is None
    return _shortened(node) if is_link else node


class _Children(Sequence[Node]):
    """The nodes below a name: hundreds of thousands are in memory one by one."""

    def __init__(self, names: _Names, depth: int, parts_of: _Split) -> None:
        self._names, self._depth, self._parts_of = names, depth, parts_of

    def __len__(self) -> int:
        return len(self._names.below)

    def __iter__(self) -> Iterator[Node]:
        return map(self._node, self._names.in_order())

    @overload
    def __getitem__(self, place: int) -> Node: ...
    @overload
    def __getitem__(self, place: slice) -> list[Node]: ...
    def __getitem__(self, place: int | slice) -> Node | list[Node]:
        names = self._names.in_order()
        if isinstance(place, slice):
            return [self._node(name) for name in names[place]]
        return self._node(names[place])

    def _node(self, name: str) -> Node:
        return _uncollapsed(name, self._names.below[name], self._depth, self._parts_of)


class _Builder:
    """Builds nodes from the leaves up; equal forms get equal numbers."""

    def __init__(self, parts_of: _Split) -> None:
        self._parts_of = parts_of
        self._forms: dict[object, int] = {}

    def node(
        self, name: str, below: _Names | Leaf | Entry, depth: int
    ) -> tuple[Node, int]:
        """Return the node and the number of its form; ``depth`` counts its parts."""
        if isinstance(below, _Names):
            below = _as_list(below)
        if not isinstance(below, _Names):
            # Nearly all of hundreds of thousands are of this kind.
            return self._node_of_leaf(name, below, depth)
        leaf = _leaf(below.leaf)
        children, forms = list[Node](), list[tuple[str, int]]()
        run = _Run(children)
        for child_name in below.in_order():
            child, form = self.node(child_name, below.below[child_name], depth + 1)
            forms.append((child.name, form))
            if len(forms) == _MANY:
                forms = [_digest_of(forms)]
            run.add(child, form)
        run.end()
        node = Node(name, children, leaf)
        # Shards that end within a block have the names of its entries in another order.
        number = self._number_of((_form_of(leaf), tuple(sorted(forms))))
        if depth and len(children) == 1 and leaf is None:
            node = _shortened(node)
        return node, number

    def _node_of_leaf(
        self, name: str, below: Leaf | Entry, depth: int
    ) -> tuple[Node, int]:
        leaf = _leaf(below)
        form, names = self._number_of((_form_of(leaf), ())), list[str]()
        for part in reversed(_rest_of(below, depth, self._parts_of)):
            # As for names with a single child.
            names.insert(0, part)
            form = self._number_of((None, ((".".join(names), form),)))
        return Node(".".join([name, *names]), (), leaf), form

    def _number_of(self, form: object) -> int:
        return self._forms.setdefault(form, len(self._forms))


_MANY = 1024


def _digest_of(forms: list[tuple[str, int]]) -> tuple[str, int]:
    """Return a form of so many children: the names of 200,000 take 25 MB."""
    return blake2b(repr(forms).encode(), digest_size=16).hexdigest(), -1


class _Run:
    """Equal numbered neighbors, of which the first one is kept."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._first: Node | None = None
        self._last, self._n = "", 0
        self._next: tuple[str, int] | None = None
        """The number, as it is written, and the form that continue the run."""

    def add(self, node: Node, form: int) -> None:
        """Add the next child, to the run if its number follows and forms are equal."""
        number = _number(node)
        if number is None or (number, form) != self._next:
            self.end()
            self._first = node
        self._last, self._n = node.name, self._n + 1
        self._next = None if number is None else (_next_number(number), form)

    def end(self) -> None:
        """Add the node of the run to the others."""
        if self._first is not None:
            self._nodes.append(_repeated(self._first, self._last, self._n))
        self._first, self._n = None, 0


def _rest_of(below: Leaf | Entry, depth: int, parts_of: _Split) -> list[str]:
    """Return the parts of a path after ``depth``, which belong to a leaf's name."""
    return parts_of(below.path)[depth:] if isinstance(below, Entry) else []


def _whole_name(name: str, below: Leaf | Entry, depth: int, parts_of: _Split) -> str:
    return ".".join([name, *_rest_of(below, depth, parts_of)])


def _leaf(leaf: Leaf | Entry | None) -> Leaf | None:
    return Leaf(leaf.path, leaf) if isinstance(leaf, Entry) else leaf


def _as_list(names: _Names) -> _Names | Leaf:
    """Return a list of plain data as one leaf; ``names`` itself otherwise."""
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
    """Return the number after ``number``, with leading zeros if that has some."""
    return str(int(number) + 1).zfill(len(number))


def _repeated(node: Node, last_name: str, n: int) -> Node:
    """Return the node of ``n`` neighbors, of which ``node`` is the first."""
    if n == 1:
        return node
    number, dot, suffix = node.name.partition(".")
    end = last_name.partition(".")[0]
    name = f"{{{number}...{end}}}{dot}{suffix}"
    return Node(name, node.children, node.leaf, n_alike=n * node.n_alike)


def _shortened(node: Node) -> Node:
    """Return the only child of ``node`` under both names."""
    (child,) = node.children
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
