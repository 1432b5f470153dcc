"""Encoder: values as nodes, and the tensors among them as entries."""

import dataclasses
import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch

from ..config.path import join
from .arrays import tensor_of_array
from .digits import digits_of
from .entries import Entries
from .entry import Entry
from .enums import member_name
from .memory import Ties, shape_of
from .nodes import MAX_DEPTH, Node, escape, renumbered

UNDECLARED_ENUM = (
    "would come back as a text, its name, since nothing declares what it is; store its "
    ".value, or store it in a field of a record that declares the enum"
)

UNDECLARED_RECORD = (
    "would not come back as that, since nothing declares what it is; store it in a "
    "field that declares its class (as list[{0}] does), or store its fields()"
)


class Storable(ABC):
    """What can be stored: it gives its entries, and a node of itself.

    Names that begin with ``_`` are for the library: fields of records and names of
    modules may be any others.
    """

    _declares_fields: ClassVar[bool] = False
    """Whether a file holds the fields that the class declares, and no others."""

    @abstractmethod
    def flat(self) -> Entries:
        """Return the entries and the plain data; tensors are shared, not copied."""

    @abstractmethod
    def _encode_into(self, encoder: "Encoder", path: str, depth: int) -> Node:
        """Return the node of this value, its tensors added to the encoder's entries."""

    @classmethod
    @abstractmethod
    def _of_entries(cls, entries: Entries) -> Self:
        """Return what ``entries`` hold as a value of this class."""


def declares_fields(cls: type[Storable]) -> bool:
    """Return whether records of ``cls`` have its fields; others have what is stored."""
    return cls._declares_fields  # pyright: ignore[reportPrivateUsage]  # for the library


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
        if isinstance(value, Storable):
            return self._storable(value, path, depth)
        return self._number_or_array(value, path, depth)

    def add_entries(self, record: Entries, path: str) -> Node:
        """Add the entries of ``record`` under ``path``, and return its node."""
        number = dict[int, int]()
        for i, entry in enumerate(record.entries()):
            number[i] = len(self.entries)
            ties = tuple(join(path, tie) for tie in entry.ties)
            self.entries.append(
                dataclasses.replace(entry, path=join(path, entry.path), ties=ties)
            )
        if record.is_typed:
            return renumbered(record.tree, number)
        nested: dict[str, Any] = {}
        for i, entry in enumerate(record.entries()):
            if entry.kind != "extra":
                for place in (entry.path, *entry.ties):
                    _nest(nested, place, {"$tensor": number[i]})
        for place, node in (record.tree or {}).items():
            _nest(nested, place, renumbered(node, number))
        return {"$record": [record.type_name, nested]}

    def move_to(self, entries: list[Entry]) -> dict[int, int]:
        """Append the tensors to ``entries``, as those of extra state.

        Returns their new numbers by the old ones, for `renumbered`.
        """
        for entry in self.entries:
            entry.kind = "extra"
        start = len(entries)
        entries += self.entries
        return {i: start + i for i in range(len(self.entries))}

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

    def _storable(self, value: Storable, path: str, depth: int) -> Node:
        if not self._is_declared:
            name = type(value).__qualname__
            raise TypeError(f"{path}: a {name} {UNDECLARED_RECORD.format(name)}")
        return value._encode_into(self, path, depth)  # pyright: ignore[reportPrivateUsage]  # for the library

    def _number_or_array(self, value: object, path: str, depth: int) -> Node:
        import numpy as np

        if isinstance(value, np.ndarray):
            return {"$array": self._entry(tensor_of_array(value, path), path)}
        number = value.item() if isinstance(value, np.generic) else None
        if isinstance(number, bool | int | float | str | bytes):
            return self.encode(number, path, depth)
        raise TypeError(
            f"{path}: a {type(value).__module__}.{type(value).__qualname__} cannot be "
            "stored; records hold tensors, numpy arrays, records, numbers, strings, "
            "bytes, None, enums, lists, tuples and dicts with str keys"
        )

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


def _nest(nested: dict[str, Any], path: str, node: Node) -> None:
    *parents, name = path.split(".")
    for part in parents:
        nested = nested.setdefault(part, {})
    nested[name] = node


def _as_tensor(data: bytes) -> torch.Tensor:
    if not data:
        return torch.empty(0, dtype=torch.uint8, device="cpu")
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
