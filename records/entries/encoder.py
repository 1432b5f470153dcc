"""Encoder: values as nodes, and the tensors among them as entries."""

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeGuard

import numpy as np
import torch

from ...config.classes.field_types import registered_type_of
from ...config.path import join
from ...config.plain.codec import TAGGED_DEPTH, Encode, Encoding, Kind, Language
from ...config.plain.digits import digits_of
from ...config.plain.enums import member_name
from ...config.plain.kinds import lists, unmarked
from ...config.plain.node import Node
from ...config.short_text import with_article
from ..tensors.arrays import tensor_of_array
from ..tensors.memory import Ties, shape_of
from ..tensors.tensor_classes import is_wrapper
from .entries import Entries
from .entry import Entry
from .keys import by_texts, check_text_key
from .nodes import escape
from .plain_data import usual_cure
from .wrapped_tensors import form_of, parts_by_name
from .wrapper_forms import wrapper_node

UNDECLARED_ENUM = (
    "would be read back as a str, its name, since no field declares its "
    "class; store its .value, or store it in a field of a record that "
    "declares the enum"
)

UNDECLARED_RECORD = (
    "would not be read back as one, since no field declares its class; "
    "store it in a field that declares its class (as list[{0}] does), or "
    "store its fields()"
)


UNDECLARED_TYPE = (
    "would be read back as plain data, since no field declares its class; "
    "store it in a field of a record that declares the class"
)


class Storable(ABC):
    """A value that can be stored: it returns its entries, and a node of itself.

    Names that begin with ``_`` are reserved for the library: fields of records and
    names of modules may be any others.
    """

    _declares_fields: ClassVar[bool] = False
    """Whether a file has exactly the fields that the class declares."""

    @abstractmethod
    def flat(self) -> Entries:
        """Return the entries and the plain data; tensors are shared, not copied."""

    @abstractmethod
    def _encode_into(self, encoder: "Encoder", path: str, depth: int) -> Node:
        """Return this value's node; its tensors are added to the encoder's entries."""

    @classmethod
    @abstractmethod
    def _of_entries(cls, entries: Entries) -> Self:
        """Return the content of ``entries`` as an instance of this class."""


def declares_fields(cls: type[Storable]) -> bool:
    """Return whether records of ``cls`` have its fields, not what is stored."""
    return cls._declares_fields  # pyright: ignore[reportPrivateUsage]  # for the library


class Encoder(Encoding):
    """Turns values into nodes, and collects their tensors as entries."""

    def __init__(
        self,
        *,
        is_declared: bool = True,
        language: Language | None = None,
        max_depth: int = TAGGED_DEPTH,
    ) -> None:
        """Accept enums, records and non-string keys only where fields declare them.

        Another ``language`` decides itself which values it accepts.
        """
        own_language = _DECLARED if is_declared else _UNDECLARED
        super().__init__(language or own_language, max_depth)
        self._tells_training = self._language is not _DECLARED
        self.entries: list[Entry] = []
        self.wrapper_classes: set[type[torch.Tensor]] = set()
        """The classes of wrapper tensors among the values."""
        self._ties: Ties[int] = Ties()

    def undeclared(self) -> "Encoder":
        """Return an encoder for undeclared data, which adds to the same entries."""
        encoder = Encoder(is_declared=False)
        encoder.entries, encoder._ties = self.entries, self._ties
        encoder.wrapper_classes = self.wrapper_classes
        return encoder

    def move_to(self, entries: list[Entry]) -> dict[int, int]:
        """Append the tensors to ``entries`` as those of extra state.

        Returns a map from their old numbers to their new ones, for `renumbered`.
        """
        for entry in self.entries:
            entry.kind = "extra"
        start = len(entries)
        entries += self.entries
        return {i: start + i for i in range(len(self.entries))}

    def part(self, key: str) -> str:
        """Return a dict's key as one component of the paths of entries."""
        return escape(key)

    def refusal(self, value: object, path: str) -> Exception:
        """Return the error of a value that records cannot hold."""
        cure = usual_cure(value)
        return TypeError(
            f"{path}: "
            f"{with_article(type(value).__module__)}.{type(value).__qualname__} cannot "
            "be stored; records hold tensors, numpy arrays, records, numbers, "
            "strings, bytes, None, enums, lists, tuples and dicts with str "
            f"keys{cure and f'. Here: {cure}'}"
        )

    def entry(self, tensor: torch.Tensor, path: str) -> int:
        """Return the number of the entry of ``tensor``, added unless it is tied."""
        index = self._ties.owner(tensor)
        if index is not None:
            self.entries[index].ties += (path,)
            return index
        index = len(self.entries)
        entry = Entry(path, "tensor", tensor.dtype, shape_of(tensor, path), tensor)
        # A field declares whether it is a Parameter; other tensors come back as they
        # were.
        if self._tells_training and is_trained(tensor):
            entry.requires_grad = True
        self.entries.append(entry)
        self._ties.add(tensor, index)
        return index

    def wrapper(self, tensor: torch.Tensor, path: str, depth: int) -> Node:
        """Return the node of a wrapper tensor, whose parts are added as entries."""
        self.wrapper_classes.add(type(tensor))
        form = self.undeclared().encode(form_of(tensor, path), path, depth + 1)
        parts: list[Node] = []
        for name, part in parts_by_name(tensor, path).items():
            n_entries = len(self.entries)
            parts.append(self.encode(part, join(path, name), depth + 1))
            for entry in self.entries[n_entries:]:
                # A precision chosen for weights does not apply to the parts of a
                # wrapper.
                entry.kind = "buffer"
        return wrapper_node(form, parts)


def is_trained(value: object) -> TypeGuard[torch.Tensor]:
    """Return whether this is a leaf tensor, which an optimizer accepts."""
    return isinstance(value, torch.Tensor) and value.requires_grad and value.is_leaf


def _mapping(
    encoder: Encoder, value: Mapping[Any, object], path: str, depth: int
) -> Node:
    """Return a dict with string keys; its field's hint gives the original key type."""
    if not all(type(key) is str for key in value):
        value = by_texts(value, path)
    return _by_names(encoder.fields(value, path, depth))


def _texts_mapping(
    encoder: Encoder, value: Mapping[Any, object], path: str, depth: int
) -> Node:
    """Return a dict with string keys where no hint gives the type of other keys."""
    for key in value:
        check_text_key(key, path)
    return _mapping(encoder, value, path, depth)


def _by_names(nodes: dict[str, Node]) -> Node:
    if any(key.startswith("$") for key in nodes):
        return {"$dict": [[key, node] for key, node in nodes.items()]}
    return nodes


def _integer(encoder: Encoder, value: int, path: str, depth: int) -> Node:
    # Documents hold 64-bit integers; longer ones are stored as digits.
    is_short = -(2**63) <= value < 2**63
    return int(value) if is_short else {"$int": digits_of(value, path)}


def _undeclared_enum(encoder: Encoder, value: object, path: str, depth: int) -> Node:
    raise TypeError(f"{path}: {value!r} {UNDECLARED_ENUM}")


def _undeclared_record(encoder: Encoder, value: object, path: str, depth: int) -> Node:
    name = type(value).__qualname__
    raise TypeError(f"{path}: {with_article(name)} {UNDECLARED_RECORD.format(name)}")


class _RegisteredKind(Kind):
    """Values of exactly the classes that users registered."""

    __slots__ = ()

    def takes(self, cls: type) -> bool:
        return registered_type_of(cls) is not None


def _registered(encoder: Encoder, value: object, path: str, depth: int) -> Node:
    field_type = registered_type_of(type(value))
    if field_type is None:
        raise encoder.refusal(value, path)
    # The code that reads it declares no types for the content.
    return encoder.undeclared().encode(field_type.encode(value), path, depth + 1)


def _undeclared_type(encoder: Encoder, value: object, path: str, depth: int) -> Node:
    raise TypeError(
        f"{path}: {with_article(type(value).__qualname__)} {UNDECLARED_TYPE}"
    )


def _numpy_scalar(encoder: Encoder, value: Any, path: str, depth: int) -> Node:
    number = value.item()
    if isinstance(number, bool | int | float | str | bytes):
        return encoder.encode(number, path, depth)
    raise encoder.refusal(value, path)


def _tensor(encoder: Encoder, tensor: torch.Tensor, path: str, depth: int) -> Node:
    if is_wrapper(tensor):
        return encoder.wrapper(tensor, path, depth)
    return {"$tensor": encoder.entry(tensor, path)}


def _as_tensor(data: bytes) -> torch.Tensor:
    # `frombuffer` refuses an empty buffer, and warns of a read-only one.
    if not data:
        return torch.empty(0, dtype=torch.uint8, device="cpu")
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


LEAVES_AND_NUMBERS: tuple[Kind, ...] = (
    Kind(types=torch.Tensor, encode=_tensor),
    Kind(types=int, encode=_integer),
    unmarked(str, str),
    unmarked(float, float),
    Kind(
        types=(bytes, bytearray, memoryview),
        encode=lambda encoder, data, path, depth: {
            "$bytes": encoder.entry(_as_tensor(bytes(data)), path)
        },
    ),
    Kind(
        types=np.ndarray,
        encode=lambda encoder, array, path, depth: {
            "$array": encoder.entry(tensor_of_array(array, path), path)
        },
    ),
    Kind(types=np.generic, encode=_numpy_scalar),
)
"""Types that every record can hold, alone or in containers."""

TUPLES = Kind(
    types=tuple,
    encode=lambda encoder, items, path, depth: {
        "$tuple": encoder.items(items, path, depth)
    },
    is_deep=True,
)

AS_THEY_ARE: tuple[type, ...] = (type(None), bool, str, float)


def _language(
    enums: Encode, records: Encode, dicts: Encode, own_types: Encode
) -> Language:
    """Return the language of records; other values need a field that declares them."""
    return Language(
        [
            _RegisteredKind(types=(), encode=own_types, is_deep=True),
            Kind(types=enum.Enum, encode=enums),
            *LEAVES_AND_NUMBERS,
            Kind(types=(dict, Mapping), encode=dicts, is_deep=True),
            lists(),
            TUPLES,
            Kind(types=Storable, encode=records, is_deep=True),
        ],
        as_they_are=AS_THEY_ARE,
    )


_DECLARED = _language(
    lambda encoder, member, path, depth: {"$enum": member_name(member, path)},
    lambda encoder, record, path, depth: record._encode_into(encoder, path, depth),
    _mapping,
    _registered,
)
_UNDECLARED = _language(
    _undeclared_enum, _undeclared_record, _texts_mapping, _undeclared_type
)
