"""Values as plain data: what stands around the tensors of a record in every format.

A node is what JSON and MessagePack both can say: None, bool, int, float, str, lists,
and maps with string keys. Everything else is a map of one key that begins with ``$``:

    {"$tensor": i}  {"$array": i}  {"$bytes": i}    entry number i, as what
    {"$record": [name, {field: node}]}              a nested record
    {"$tuple": [...]}  {"$enum": name}  {"$int": digits}  {"$float": "nan"}
    {"$dict": [[key, node], ...]}                   a dict with a key that begins with $
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from .digits import integer_of, is_digits

Node: TypeAlias = Any
"""Plain data as above; unknown until it is read."""

MAX_DEPTH = 64
"""How deep the values of a record may nest."""
DEEPEST = 2 * MAX_DEPTH
"""How deep nodes may nest: below a value, a module's record goes on by its paths."""

LEAVES = frozenset({"$tensor", "$array", "$bytes"})
"""What stands for an entry, by its tag."""

_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def decode(
    node: Node,
    leaf: Callable[[str, int], object],
    record: Callable[[Node], object] | None = None,
    depth: int = 0,
) -> Any:
    """Return the value of ``node`` without knowing its type.

    ``leaf`` makes the value of a tensor, array or bytes from its tag and number, and
    ``record`` one of a record's node, which is a dict without it. ValueError says what
    is wrong with the node.
    """
    if node is None or isinstance(node, bool | int | float | str):
        return node
    if depth > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    if isinstance(node, list):
        return [decode(item, leaf, record, depth + 1) for item in node]
    tag, content = tag_of(node)
    if tag is None:
        return {
            key: decode(item, leaf, record, depth + 1) for key, item in content.items()
        }
    if tag in LEAVES:
        return leaf(tag, content)
    if tag == "$record" and record is not None:
        return record(node)
    if tag == "$record":
        return {
            k: decode(item, leaf, record, depth + 1) for k, item in content[1].items()
        }
    if tag == "$tuple":
        return tuple(decode(item, leaf, record, depth + 1) for item in content)
    if tag == "$dict":
        return {key: decode(item, leaf, record, depth + 1) for key, item in content}
    return scalar(tag, content)


def unique_map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the map of ``pairs``, which a parser met; ValueError for one key twice.

    Parsers let the last of two win otherwise, and two readers could disagree.
    """
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a map has one key twice")
    return mapping


def renumbered(node: Node, number: Mapping[int, int]) -> Node:
    """Return ``node`` with the entries' numbers replaced."""
    if isinstance(node, list):
        return [renumbered(item, number) for item in node]
    if not isinstance(node, dict):
        return node
    for tag in LEAVES:
        if tag in node:
            return {tag: number[node[tag]]}
    return {key: renumbered(item, number) for key, item in node.items()}


def leaves_of(node: Node, tags: frozenset[str] = LEAVES) -> Iterator[int]:
    """Return the numbers of the entries in ``node``, in order; of some tags alone."""
    if isinstance(node, list):
        for item in node:
            yield from leaves_of(item, tags)
    elif isinstance(node, dict):
        for key, item in node.items():
            if key in tags:
                yield item
            elif key not in LEAVES:
                yield from leaves_of(item, tags)


def tag_of(node: Node) -> tuple[str | None, Any]:
    """Return a map's tag and checked content, or None and the map itself."""
    if not isinstance(node, dict):
        raise ValueError(f"found a {type(node).__name__} where plain data must stand")
    mapping: dict[Any, Any] = node
    if not all(isinstance(key, str) for key in mapping):
        raise ValueError("a map has a key that is no string")
    tags = [key for key in mapping if key.startswith("$")]
    if not tags:
        return None, mapping
    if len(mapping) != 1 or tags[0] not in _CONTENT:
        raise ValueError(f"a map has the unknown tag {tags[0]!r}")
    content = mapping[tags[0]]
    if not _CONTENT[tags[0]](content):
        raise ValueError(f"the tag {tags[0]!r} holds something else than it must")
    return tags[0], content


def scalar(tag: str, content: Any) -> object:
    """Return the number or the name that a tagged scalar stands for."""
    if tag == "$int":
        return integer_of(content)
    return _FLOATS[content] if tag == "$float" else content


def escape(key: str) -> str:
    """Return a dict's key as one part of a path; ``record_view.split`` undoes it."""
    if not key:
        return "\\e"
    return key.replace("\\", "\\\\").replace(".", "\\.").replace("\0", "\\0")


def _is_index(content: Any) -> bool:
    return type(content) is int and content >= 0


def _is_record(content: Any) -> bool:
    return (
        isinstance(content, list)
        and len(content) == 2
        and isinstance(content[0], str)
        and isinstance(content[1], dict)
        and all(isinstance(key, str) for key in content[1])
    )


def _is_pairs(content: Any) -> bool:
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
    "$float": lambda content: isinstance(content, str) and content in _FLOATS,
}
