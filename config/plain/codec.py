"""The walk over values that makes plain data of them, and the one that goes back.

A *kind* is a sort of value: how it is recognized, taken apart into simpler values and
made again. A *language* is what one sort of file has: its kinds, each with the tag that
stands for it there. The kinds that Python itself has are in `kinds`; each layer adds
those that it knows.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..path import join
from ..short_text import with_article
from ..tree import MAX_DEPTH
from .node import AS_THEY_ARE, Node

TAGGED_DEPTH = MAX_DEPTH // 2
"""How deep values nest where tags stand around them.

A tagged value takes up to three levels of the text, and JSON libraries refuse more than
about 250. Readers go on to `MAX_DEPTH`.
"""

_MIN_INT, _END_INT = -(2**63), 2**63
"""Integers that every format has; larger ones may need a kind."""


Encode: TypeAlias = Callable[[Any, Any, str, int], Node]
"""Returns the node of a value: ``encode(encoding, value, path, depth)``."""

Decode: TypeAlias = Callable[[Any, Node, str, int], Any]
"""Returns the value of a tag's content: ``decode(decoding, content, path, depth)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One sort of value in one language."""

    types: type | tuple[type, ...]
    """What is of this kind, if no kind before it takes the value."""

    encode: Encode
    """How its values become nodes."""

    tag: str = ""
    """What its nodes are marked with; nothing for what the data shows by itself."""

    decode: Decode | None = None
    """How the tag's content becomes the value; None where nothing is tagged."""

    is_deep: bool = False
    """Whether other values stand in it, which may not nest without end."""

    is_exact: bool = False
    """Whether a subclass is another kind of value."""

    def takes(self, cls: type) -> bool:
        """Return whether values of ``cls`` are of this kind."""
        if not self.is_exact:
            return issubclass(cls, self.types)
        return cls is self.types or (
            isinstance(self.types, tuple) and cls in self.types
        )


class Language:
    """The kinds of value of one sort of file; the first that takes a value has it."""

    def __init__(self, kinds: Iterable[Kind], *, as_they_are: Iterable[type]) -> None:
        """Take ``kinds`` in order; values of exactly ``as_they_are`` need none."""
        self.as_they_are = frozenset(as_they_are)
        self.kinds = tuple(kinds)
        self.decoders: dict[str, Decode] = {
            kind.tag: kind.decode for kind in self.kinds if kind.decode is not None
        }
        # Types of users are looked up each time: a table would keep them alive.
        self.by_type: dict[type, Kind | None] = {}
        for kind in self.kinds:
            types = kind.types if isinstance(kind.types, tuple) else (kind.types,)
            for cls in types:
                self.by_type.setdefault(cls, self.kind_of(cls))

    def kind_of(self, cls: type) -> Kind | None:
        """Return the kind of values of ``cls``; None if the language holds none."""
        return next((kind for kind in self.kinds if kind.takes(cls)), None)


class Encoding:
    """Turns values into nodes of one language, each kind as the language spells it."""

    def __init__(self, language: Language, max_depth: int = TAGGED_DEPTH) -> None:
        """Write ``language``, and values that nest up to ``max_depth``."""
        self._language, self._max_depth = language, max_depth
        self._as_they_are, self._by_type = language.as_they_are, language.by_type

    def encode(self, value: object, path: str, depth: int = 0) -> Node:
        """Return ``value`` as a node; an error names the path of what is not data."""
        if type(value) in self._as_they_are:
            return value
        kind = self._by_type.get(type(value)) or self.kind_of_other(value, path)
        if kind is None:
            raise self.refusal(value, path)
        if kind.is_deep and depth >= self._max_depth:
            raise self.too_deep(path)
        return kind.encode(self, value, path, depth)

    def kind_of_other(self, value: object, path: str) -> Kind | None:
        """Return the kind of a value whose class no kind names; None if there is none.

        It is that of a class above, so that the class itself is in no file.
        """
        return self._language.kind_of(type(value))

    def items(self, values: Iterable[object], path: str, depth: int) -> list[Node]:
        """Return the nodes of ``values``, which stand in what is at ``path``."""
        plain_types = self._as_they_are
        # Most items are plain, and their paths would take longer than all else.
        return [
            value
            if type(value) in plain_types
            or (type(value) is int and _MIN_INT <= value < _END_INT)
            else self.encode(value, join(path, i), depth + 1)
            for i, value in enumerate(values)
        ]

    def fields(
        self, values: Mapping[Any, object], path: str, depth: int
    ) -> dict[Any, Node]:
        """Return the nodes of the values of a mapping, by its keys."""
        plain_types = self._as_they_are
        return {
            key: value
            if type(value) in plain_types
            or (type(value) is int and _MIN_INT <= value < _END_INT)
            else self.encode(value, join(path, self.part(key)), depth + 1)
            for key, value in values.items()
        }

    def part(self, key: Any) -> str:
        """Return a key as a part of the path of its value."""
        return str(key)

    def refusal(self, value: object, path: str) -> Exception:
        """Return the error of a value that the language cannot hold."""
        return TypeError(
            f"{path}: {with_article(type(value).__qualname__)} cannot be stored"
        )

    def too_deep(self, path: str) -> Exception:
        """Return the error of values that nest too deep."""
        return TypeError(f"{path}: nested deeper than {self._max_depth} levels")


class Decoding:
    """Turns nodes of one language into values again."""

    def __init__(
        self, decoders: Mapping[str, Decode], max_depth: int = MAX_DEPTH
    ) -> None:
        """Read the tags of ``decoders``, and nodes that nest up to ``max_depth``."""
        self._decoders, self._max_depth = decoders, max_depth

    def decode(self, node: Node, path: str = "", depth: int = 0) -> Any:
        """Return the value of ``node`` without knowing its type."""
        if type(node) in AS_THEY_ARE:
            return node
        if depth > self._max_depth:
            raise self.too_deep(path)
        if isinstance(node, list):
            return self.items(node, path, depth)
        if not isinstance(node, Mapping):
            return self.leaf(node, path, depth)
        tag, content = self.tag_of(node)
        if tag is None:
            return {
                key: item
                if type(item) in AS_THEY_ARE
                else self.decode(item, join(path, str(key)), depth + 1)
                for key, item in content.items()
            }
        return self.tagged(tag, content, path, depth)

    def items(self, nodes: Iterable[Node], path: str, depth: int) -> list[object]:
        """Return the values of ``nodes``, which stand in what is at ``path``."""
        return [
            node
            if type(node) in AS_THEY_ARE
            else self.decode(node, join(path, i), depth + 1)
            for i, node in enumerate(nodes)
        ]

    def tag_of(self, node: Mapping[Any, Node]) -> tuple[str | None, Any]:
        """Return a map's tag and content, or None and the map itself."""
        if len(node) == 1:
            ((tag, content),) = node.items()
            if tag in self._decoders:
                return tag, content
        return None, node

    def tagged(self, tag: str, content: Node, path: str, depth: int) -> object:
        """Return the value that the content of a tag stands for."""
        return self._decoders[tag](self, content, path, depth)

    def leaf(self, node: Node, path: str, depth: int) -> object:
        """Return the value of a node that is neither a list nor a map."""
        return node

    def too_deep(self, path: str) -> Exception:
        """Return the error of nodes that nest too deep."""
        return ValueError(f"nested deeper than {self._max_depth} levels")
