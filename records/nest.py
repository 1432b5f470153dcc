"""Nested plain data and tensors as one record: what torch.save takes."""

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch

from ..config.plain.node import Node
from ..config.short_text import with_article
from .entries.encoder import Encoder
from .entries.entries import (
    Entries,
    announce_entries,
    data_leaf,
    leaf_value,
    part_of_file,
    with_parts,
)
from .entries.entry import Entry
from .entries.nested_data import DataEncoder, decoded_data
from .entries.nodes import decode
from .entries.plain_data import texts_of_keys
from .entries.state_dict import record_of_state_dict, state_dict_of
from .entries.state_dict_marks import is_module_state_dict
from .entries.state_dict_search import state_dict_in
from .entries.wrapped_tensors import UnmadeWrapper, make_wrapper
from .entries.wrapper_forms import Wrap
from .precision import Precision

E = TypeVar("E", bound=Entries)

OF_DICT, OF_VALUE = "dict of plain data", "value of plain data"
"""The names of records in files: of a dict, whose keys are fields, and of others.

No class has such a name, so no other record is mistaken for one of these.
"""


def record_of_data(value: object) -> Entries:
    """Return ``value``, nested data and tensors, as a record; tensors are shared.

    A module's state dict becomes the record that `Record.from_state_dict` returns.
    TypeError names the path of a value that is not plain data.
    """
    if isinstance(value, Mapping) and is_module_state_dict(value):
        return record_of_state_dict(value)
    if type(value) is dict and all(type(key) is str for key in value):
        encoder = DataEncoder()
        fields = encoder.encode(value, "")
        if "$dict" not in fields:
            return _record(OF_DICT, fields, encoder)
    encoder = DataEncoder()
    return _record(OF_VALUE, {"value": encoder.encode(value, "value")}, encoder)


def data_of(record: Entries) -> Any:
    """Return the content of a record as plain data and tensors, read and verified.

    For `record_of_data` it is the value; for a module the state dict; for declared
    fields a dict of them. Raises `RecordError` for damage.
    """
    if not record.is_typed:
        return state_dict_of(record)

    announce_entries(record, record.entries())

    def leaf(tag: str, number: int) -> object:
        return data_leaf(record, tag, number)

    return _value_of(record, leaf)


def is_nest(record: Entries) -> bool:
    """Return whether `record_of_data` made the record of other than a state dict."""
    return record.is_typed and record.type_name in (OF_DICT, OF_VALUE)


def state_dict_within(record: E, keys: Sequence[str] = ()) -> E:
    """Return the record of the state dict inside ``record``, if that is a nest.

    It is searched at ``keys``. No tensor is read. Raises `RecordFormatError` where
    there is none, or several.
    """
    if not is_nest(record):
        return record
    entries = record.entries()
    stand_ins: dict[int, torch.Tensor] = {}

    def leaf(tag: str, number: int) -> object:
        if tag != "$tensor":
            return leaf_value(entries, tag, number)
        if number not in stand_ins:
            entry = entries[number]
            values = torch.empty(1, dtype=entry.dtype, device="cpu")
            stand_ins[number] = values.expand(entry.shape) if entry.shape else values[0]
        return stand_ins[number]

    content, file = _value_of(record, leaf, UnmadeWrapper.of), record.reading.file
    read = f"burnish.open_record({file!r}).to_data()"
    for key in keys:
        content, read = _children(content)[key], f"{read}[{key!r}]"
    state_dict = state_dict_in(content, file, read)
    module = record_of_state_dict(state_dict)
    by_stand_in = {id(tensor): entries[number] for number, tensor in stand_ins.items()}
    return part_of_file(
        record,
        with_parts(
            module, entries=[_as_stored(e, by_stand_in) for e in module.entries()]
        ),
    )


def index_of_nest(record: Entries) -> dict[str, Any]:
    """Return nested dicts by the strings of keys and the numbers of items.

    The leaves are entries, nodes of arrays and bytes, and plain values.
    """
    entries = record.entries()

    def leaf(tag: str, number: int) -> object:
        return entries[number] if tag == "$tensor" else NodeOfLeaf(tag, number)

    index = _index(_value_of(record, leaf, UnmadeWrapper.of))
    return index if isinstance(index, dict) else {"value": index}


@dataclasses.dataclass(frozen=True, slots=True)
class NodeOfLeaf:
    """An array or bytes in the index of a nest, read on access."""

    tag: str
    number: int


def _index(value: object) -> Any:
    children = _children(value)
    if not children and not isinstance(value, Mapping):
        return value
    return {key: _index(item) for key, item in children.items()}


def _children(value: object) -> dict[str, Any]:
    """Return the items of a dict or a sequence by string; empty for other values.

    The items of a wrapper tensor are its parts.
    """
    if isinstance(value, UnmadeWrapper):
        return dict(value.parts)
    if isinstance(value, Mapping):
        return dict(zip(texts_of_keys(value), value.values(), strict=True))
    if isinstance(value, list | tuple | deque) and not isinstance(value, torch.Size):
        return {str(i): item for i, item in enumerate(value)}
    return {}


def check_precision(record: Entries, precision: Precision) -> None:
    """Raise ValueError if a precision of parameters is requested for plain data.

    Its tensors are not marked as parameters or as the state of an optimizer, whose
    small numbers half precision turns into 0.
    """
    if not is_nest(record) or precision.param is None:
        return
    if precision.tensor or precision.paths or precision.has_own_rule:
        return
    raise ValueError(
        f"precision= applies to parameters, but {with_article(record.type_name)} "
        "does not say which of its tensors are parameters. Choose them by path, "
        "as in burnish.records.Precision(paths={'model.**': 'half'}), or "
        "choose all: Precision(tensor='half')."
    )


def _as_stored(entry: Entry, by_stand_in: Mapping[int, Entry]) -> Entry:
    """Return ``entry`` with the tensor of the file that its placeholder refers to."""
    in_file = by_stand_in.get(id(entry.source))
    if in_file is None:
        return entry
    return dataclasses.replace(
        in_file, path=entry.path, ties=entry.ties, kind=entry.kind
    )


def _record(name: str, fields: Node, encoder: Encoder) -> Entries:
    tree = {"$record": [name, fields]}
    return Entries.of(encoder.entries, tree=tree, type_name=name, typed=True)


def _value_of(
    record: Entries,
    leaf: Callable[[str, int], object],
    wrap: Wrap | None = None,
) -> Any:
    """Return the value of a typed record, whose tensors ``leaf`` returns.

    ``wrap`` returns wrapper tensors, which are rebuilt without it.
    """
    make = partial(make_wrapper, file=record.reading.file)
    fields = decode(record.tree, leaf, wrap or make)
    if not is_nest(record):
        return fields
    node = fields if record.type_name == OF_DICT else fields["value"]
    return decoded_data(node, record.reading.file)
