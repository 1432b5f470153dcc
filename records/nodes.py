"""Values as plain data: what stands around the tensors of a record in every format.

A node is what JSON and MessagePack both can say: None, bool, int, float, str, lists,
and maps with string keys. Everything else is a map of one key that begins with ``$``:

    {"$tensor": i}  {"$array": i}  {"$bytes": i}    entry number i, as what
    {"$record": [name, {field: node}]}              a nested record
    {"$tuple": [...]}  {"$enum": name}  {"$int": digits}  {"$float": "nan"}
    {"$dict": [[key, node], ...]}                   a dict with a key that begins with $
"""

import dataclasses
import enum
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from ..config.path import join
from .arrays import tensor_of_array
from .digits import digits_of, integer_of, is_digits
from .entry import Entry
from .enums import member_name
from .memory import Ties, shape_of

if TYPE_CHECKING:
    from .flat_record import FlatRecord
    from .record import Record

Node: TypeAlias = Any
"""Plain data as above; unknown until it is read."""

MAX_DEPTH = 64
"""How deep the values of a record may nest."""
DEEPEST = 2 * MAX_DEPTH
"""How deep nodes may nest: below a value, a module's record goes on by its paths."""

UNDECLARED_ENUM = (
    "would come back as a text, its name, since nothing declares what it is; store its "
    ".value, or store it in a field of a record that declares the enum"
)

UNDECLARED_RECORD = (
    "would not come back as that, since nothing declares what it is; store it in a "
    "field that declares its class (as list[{0}] does), or store its fields()"
)

LEAVES = frozenset({"$tensor", "$array", "$bytes"})
"""What stands for an entry, by its tag."""

_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Encoder:
    """Turns values into nodes, and collects the tensors that it meets as entries."""

    def __init__(self, *, is_declared: bool = True) -> None:
        self.entries: list[Entry] = []
        self._is_declared = is_declared  # else nothing would bring an enum back
        self._ties: Ties[int] = Ties()

    def encode(self, value: object, path: str, depth: int = 0) -> Node:
        """Return ``value`` as a node; TypeError names the path of what is no data."""
        if value is None or isinstance(value, bool) or type(value) in (str, float):
            return value
        if isinstance(value, torch.Tensor):
            return {"$tensor": self._entry(value, path)}
        if isinstance(value, enum.Enum):
            if not self._is_declared:
                raise TypeError(f"{path}: {value!r} {UNDECLARED_ENUM}")
            return {"$enum": member_name(value, path)}
        if isinstance(value, int):
            if -(2**63) <= value < 2**63:
                return int(value)
            return {"$int": digits_of(value, path)}
        if isinstance(value, str | float):
            return str(value) if isinstance(value, str) else float(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return {"$bytes": self._entry(_as_tensor(bytes(value)), path)}
        if depth >= MAX_DEPTH:
            raise TypeError(f"{path}: nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, Mapping):
            return self._mapping(value, path, depth)
        if isinstance(value, list | tuple):
            nodes = [
                self.encode(item, join(path, i), depth + 1)
                for i, item in enumerate(value)
            ]
            return nodes if isinstance(value, list) else {"$tuple": nodes}
        return self._other(value, path, depth)

    def move_to(self, entries: list[Entry]) -> dict[int, int]:
        """Append the tensors to ``entries``, as those of extra state.

        Returns their new numbers by the old ones, for `renumbered`.
        """
        for entry in self.entries:
            entry.kind = "extra"
        first = len(entries)
        entries += self.entries
        return {i: first + i for i in range(len(self.entries))}

    def _mapping(self, value: Mapping[Any, Any], path: str, depth: int) -> Node:
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{path}: a dict needs str keys here, found {key!r}")
        nodes = {
            key: self.encode(item, join(path, escape(key)), depth + 1)
            for key, item in value.items()
        }
        if any(key.startswith("$") for key in nodes):
            return {"$dict": [[key, node] for key, node in nodes.items()]}
        return nodes

    def _other(self, value: object, path: str, depth: int) -> Node:
        import numpy as np

        from .record import Record

        if isinstance(value, Record):
            if not self._is_declared:
                name = type(value).__qualname__
                raise TypeError(f"{path}: a {name} {UNDECLARED_RECORD.format(name)}")
            return self.record(value, path, depth)
        if isinstance(value, np.ndarray):
            return {"$array": self._entry(tensor_of_array(value, path), path)}
        plain = value.item() if isinstance(value, np.generic) else None
        if isinstance(plain, bool | int | float | str | bytes):
            return self.encode(plain, path, depth)
        raise TypeError(
            f"{path}: a {type(value).__module__}.{type(value).__qualname__} cannot be "
            "stored; records hold tensors, numpy arrays, records, numbers, strings, "
            "bytes, None, enums, lists, tuples and dicts with str keys"
        )

    def record(self, value: "Record", path: str, depth: int = 0) -> Node:
        """Return the record's fields as a node, entries' paths under ``path``."""
        from .flat_record import FlatRecord

        if isinstance(value, FlatRecord):
            return self._flat(value, path)
        from .declared import Declared

        values = value.fields()
        nodes = {n: self.encode(v, join(path, n), depth + 1) for n, v in values.items()}
        Declared(self.entries).check(type(value), values, nodes, path)
        return {"$record": [type(value).__qualname__, nodes]}

    def _flat(self, value: "FlatRecord", path: str) -> Node:
        number = dict[int, int]()
        for i, entry in enumerate(value.entries()):
            number[i] = len(self.entries)
            ties = tuple(join(path, tie) for tie in entry.ties)
            moved = dataclasses.replace(entry, path=join(path, entry.path), ties=ties)
            self.entries.append(moved)
        if value.is_typed:
            return renumbered(value.tree, number)
        nested: dict[str, Any] = {}
        for i, entry in enumerate(value.entries()):
            if entry.kind != "extra":
                for place in (entry.path, *entry.ties):
                    _nest(nested, place, {"$tensor": number[i]})
        for place, node in (value.tree or {}).items():
            _nest(nested, place, renumbered(node, number))
        return {"$record": [value.type_name, nested]}

    def _entry(self, tensor: torch.Tensor, path: str) -> int:
        index = self._ties.owner(tensor)
        if index is not None:
            self.entries[index].ties += (path,)
            return index
        index = len(self.entries)
        self.entries.append(
            Entry(path, "tensor", tensor.dtype, shape_of(tensor, path), tensor)
        )
        self._ties.add(tensor, index)
        return index


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


def _nest(nested: dict[str, Any], path: str, node: Node) -> None:
    *parents, last = path.split(".")
    for part in parents:
        nested = nested.setdefault(part, {})
    nested[last] = node


def _as_tensor(data: bytes) -> torch.Tensor:
    if not data:
        return torch.empty(0, dtype=torch.uint8, device="cpu")
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


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
