"""Values as plain data: the structure around a record's tensors, in every format.

A node is a value that JSON and MessagePack both have: None, bool, int, float, str,
lists, and maps with string keys. Everything else is a map of one key that begins with
``$``:

    {"$tensor": i}  {"$array": i}  {"$bytes": i}    entry number i, as what
    {"$record": [name, {field: node}]}              a nested record
    {"$tuple": [...]}  {"$enum": name}  {"$int": digits}  {"$float": "nan"}
    {"$dict": [[key, node], ...]}                   a dict with a key that begins with $

A tensor that wraps others is such a dict, too (`wrapper_forms.wrapper_node`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ...config.path import join
from ...config.plain.codec import Decode, Decoding
from ...config.plain.digits import integer_of, is_digits
from ...config.plain.node import NON_FINITE, Node
from ...config.short_text import with_article
from ..errors import RecordMismatchError
from .wrapper_forms import Wrap, wrapper_in

LEAVES = frozenset({"$tensor", "$array", "$bytes"})
"""Tags of the references to entries."""


def decode(
    node: Node,
    leaf: Callable[[str, int], object],
    wrap: Wrap,
    record: Callable[[Node], object] | None = None,
) -> Any:
    """Return the value of ``node`` without knowing its type.

    ``leaf`` makes the value of a tensor, array or bytes from its tag and number,
    ``wrap`` a wrapper tensor, and ``record`` an object from a record's node, which
    becomes a dict without it. Raises ValueError, which describes what is wrong with the
    node.
    """
    return NodeDecoding(leaf, wrap, record).decode(node)


class NodeDecoding(Decoding):
    """Decodes the values of nodes; callbacks look up tensors and records."""

    def __init__(
        self,
        leaf: Callable[[str, int], object],
        wrap: Wrap,
        record: Callable[[Node], object] | None,
    ) -> None:
        super().__init__(_DECODERS)
        self.look_up = leaf
        self._record, self._wrap = record, wrap

    def tag_of(self, node: object) -> tuple[str | None, Any]:
        """Return a map's tag and checked content, or None and the map itself."""
        return tag_of(node)

    def leaf(self, node: Node, path: str, depth: int) -> Any:
        """Return a number or a string; ValueError for types that no parser returns."""
        if isinstance(node, int | float | str):
            return node
        raise no_node(node)

    def record(self, content: Any, path: str, depth: int) -> object:
        """Return the record of a tag's content, or its fields."""
        if self._record is not None:
            return self._record({"$record": content})
        # Names in a module may look like tags, although its fields are not.
        return {
            name: self.decode(item, join(path, name), depth + 1)
            for name, item in content[1].items()
        }

    def pairs(self, pairs: Any, path: str, depth: int) -> object:
        """Return a dict with string keys, or the tensor of a wrapper's node."""
        wrapper = wrapper_in({"$dict": pairs})
        if wrapper is None:
            return {key: self.decode(item, path, depth + 1) for key, item in pairs}
        form, parts = wrapper
        values = {
            name: self.decode(part, join(path, name), depth + 1)
            for name, part in parts.items()
        }
        return self._wrap(self.decode(form, path, depth + 1), values, path)


def unique_map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a parser's ``pairs`` as a dict; ValueError for a repeated key.

    Parsers otherwise keep the last of the two, so two readers could disagree.
    """
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a map has the same key twice")
    return mapping


def renumbered(node: Node, number: Mapping[int, int]) -> Node:
    """Return ``node`` with its entries renumbered."""
    if isinstance(node, list):
        return [renumbered(item, number) for item in node]
    if not isinstance(node, dict):
        return node
    for tag in LEAVES:
        if tag in node:
            return {tag: number[node[tag]]}
    return {key: renumbered(item, number) for key, item in node.items()}


def entry_numbers(node: Node, tags: frozenset[str] = LEAVES) -> Iterator[int]:
    """Return the numbers of the entries in ``node``, in order; only of some tags."""
    if isinstance(node, list):
        for item in node:
            yield from entry_numbers(item, tags)
    elif isinstance(node, dict):
        for key, item in node.items():
            if key in tags:
                yield item
            elif key not in LEAVES:
                yield from entry_numbers(item, tags)


def paths_of_plain_data(node: Node, path: str = "") -> Iterator[str]:
    """Yield the path of everything in ``node`` that is not a tensor."""
    tag, content = tag_of(node) if isinstance(node, dict) else (None, node)
    if tag == "$record":
        content = content[1]
    if isinstance(content, dict):
        for key, item in content.items():
            yield from paths_of_plain_data(item, join(path, key))
    elif isinstance(content, list) and tag in (None, "$tuple"):
        for number, item in enumerate(content):
            yield from paths_of_plain_data(item, join(path, str(number)))
    elif tag not in LEAVES:
        yield path


def tag_of(node: Node) -> tuple[str | None, Any]:
    """Return a map's tag and checked content, or None and the map itself."""
    if not isinstance(node, dict):
        raise no_node(node)
    mapping: dict[Any, Any] = node
    if not all(isinstance(key, str) for key in mapping):
        raise ValueError("a map has a key that is not a string")
    tags = [key for key in mapping if key.startswith("$")]
    if not tags:
        return None, mapping
    if len(mapping) != 1 or tags[0] not in _CONTENT:
        raise ValueError(f"a map has the unknown tag {tags[0]!r}")
    content = mapping[tags[0]]
    if not _CONTENT[tags[0]](content):
        raise ValueError(f"the tag {tags[0]!r} has content of the wrong kind")
    return tags[0], content


def record_in(node: Node) -> tuple[str, dict[str, Node]] | None:
    """Return the class name and the fields of a record's node; None for others."""
    if not isinstance(node, dict):
        return None
    tag, content = tag_of(node)
    return (content[0], content[1]) if tag == "$record" else None


def no_node(value: object) -> ValueError:
    """Return the error for a node that is not valid plain data."""
    return ValueError(
        f"found {with_article(type(value).__name__)}, expected plain data"
    )


def scalar(tag: str, content: Any) -> object:
    """Return the number or the name that a tagged scalar contains."""
    if tag == "$int":
        return integer_of(content)
    return NON_FINITE[content] if tag == "$float" else content


def mismatch(file: str, path: str, content: str, expected: str) -> RecordMismatchError:
    """Return the error that names ``path``, the found and the expected type."""
    return RecordMismatchError(
        file, [f"{path or 'record'}: found {content}, expected {expected}"]
    )


def node_name(node: Node) -> str:
    """Return a description of ``node``."""
    if isinstance(node, dict) and len(node) == 1:
        if wrapper_in(node):
            return "a tensor that wraps others"
        tag, content = tag_of(node)
        if tag == "$record":
            return with_article(content[0])
        if tag in ("$int", "$float"):
            return f"{scalar(tag, content)!r:.60}"
        if tag is not None:
            return _WORDS[tag].format(content)
    return (
        f"{node!r:.60}"
        if not isinstance(node, dict | list)
        else with_article(type(node).__name__)
    )


_WORDS = {
    "$tensor": "a tensor",
    "$array": "an array",
    "$bytes": "bytes",
    "$tuple": "a tuple",
    "$dict": "a dict",
    "$enum": "the member {!r:.40} of an enum",
}
"""Descriptions of nodes, by their tags."""


def escape(key: str) -> str:
    """Return a dict's key as one component of a path; see ``names_on_path``."""
    if not key:
        return "\\e"
    return key.replace("\\", "\\\\").replace(".", "\\.").replace("\0", "\\0")


def _is_index(content: object) -> bool:
    return type(content) is int and content >= 0


def _is_record(content: object) -> bool:
    return (
        isinstance(content, list)
        and len(content) == 2
        and isinstance(content[0], str)
        and isinstance(content[1], dict)
        and all(isinstance(key, str) for key in content[1])
    )


def _is_pairs(content: object) -> bool:
    pairs: Sequence[Any] = content if isinstance(content, list) else [None]
    return all(
        isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) for p in pairs
    ) and len({p[0] for p in pairs}) == len(pairs)


_CONTENT: dict[str, Callable[[Any], bool]] = {
    "$tensor": _is_index,
    "$array": _is_index,
    "$bytes": _is_index,
    "$record": _is_record,
    "$tuple": lambda content: isinstance(content, list),
    "$dict": _is_pairs,
    "$enum": lambda content: isinstance(content, str),
    "$int": is_digits,
    "$float": lambda content: isinstance(content, str) and content in NON_FINITE,
}

_DECODERS: dict[str, Decode] = {
    "$tensor": lambda walk, number, path, depth: walk.look_up("$tensor", number),
    "$array": lambda walk, number, path, depth: walk.look_up("$array", number),
    "$bytes": lambda walk, number, path, depth: walk.look_up("$bytes", number),
    "$record": lambda walk, content, path, depth: walk.record(content, path, depth),
    "$tuple": lambda walk, items, path, depth: tuple(walk.items(items, path, depth)),
    "$dict": lambda walk, pairs, path, depth: walk.pairs(pairs, path, depth),
    "$int": lambda walk, digits, path, depth: integer_of(digits),
    "$float": lambda walk, name, path, depth: NON_FINITE[name],
    "$enum": lambda walk, name, path, depth: name,
}
