# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""Lazy tensors, which take the shape of the values loaded into them."""

from collections.abc import Mapping
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import nn

from ....config.process.interrupts import raise_of_signal
from ....config.process.transaction import Transaction, Undo
from ....records.entries.entries import Entries, path_index
from ....records.entries.entry import Entry
from ....records.errors import RecordError
from ....records.tensors.torch_internals import state_dict_reader
from ...modules.tree import Places
from .loading_code import own_loading_code

_LAZY: Any = nn.parameter.UninitializedTensorMixin  # type: ignore[attr-defined, unused-ignore]  # pyright: ignore[reportAttributeAccessIssue]  # stubs lack it
"""The base class of lazy tensors; `is_lazy` takes three times as long."""

_Lazy: TypeAlias = dict[str, tuple[Any, Entry]]
"""The lazy tensors of one module by name, and the entries with their shapes."""


def materialize_lazy(places: Places, record: Entries, transaction: Transaction) -> None:
    """Give the lazy tensors in ``record`` their shapes, as torch does on loading.

    They become lazy again if the transaction fails. A lazy module of torch stops being
    one when it is first called. A class with loading code of its own records there
    which shapes it was given, so that code runs.
    """
    entries_by_path: Mapping[str, Entry] | None = None
    for prefix, owner in places:
        # This runs for 5,000 modules at every load.
        lazy_names = [
            name
            for group in (owner._parameters, owner._buffers)
            for name, tensor in group.items()
            if isinstance(tensor, _LAZY)
        ]
        if not lazy_names:
            continue
        if entries_by_path is None:
            entries_by_path = path_index(record)
        tensors: dict[str, Any] = {**owner._parameters, **owner._buffers}
        lazy: _Lazy = {
            name: (tensors[name], entries_by_path[prefix + name])
            for name in lazy_names
            if prefix + name in entries_by_path
        }
        if lazy:
            transaction.undo_with(partial(_make_lazy, _kinds(lazy)))
            _materialize(owner, prefix, lazy, transaction)


def _materialize(
    owner: nn.Module, prefix: str, lazy: _Lazy, transaction: Transaction
) -> None:
    if code := list(own_loading_code(owner)):
        transaction.undo_with(_attributes_as_now(owner))
        try:
            _load_shapes(owner, lazy)
        except Exception as error:
            raise_of_signal(error)
            raise RecordError(
                f"{', '.join(prefix + name for name in lazy)}: a lazy tensor that has "
                f"no shape yet, and {' and '.join(code)} of its class failed when it "
                f"was given the stored shape ({type(error).__name__}: {error!s:.80}). "
                "Run the module once on an example input, then load it."
            ) from error
    for tensor, entry in lazy.values():
        if nn.parameter.is_lazy(tensor):
            tensor.materialize(entry.shape)


def _load_shapes(owner: nn.Module, lazy: _Lazy) -> None:
    """Let ``owner`` load the lazy part of a state dict, in which only shapes are right.

    The values are set from the record later, like all others.
    """
    state_dict = {
        name: torch.zeros((), dtype=entry.dtype).expand(entry.shape)
        for name, (_, entry) in lazy.items()
    }
    load = state_dict_reader(owner)
    load(state_dict, "", {}, False, list[str](), list[str](), list[str]())


def _kinds(lazy: _Lazy) -> list[tuple[Any, type]]:
    return [(tensor, type(tensor)) for tensor, _ in lazy.values()]


def _make_lazy(tensors: list[tuple[Any, type]]) -> None:
    for tensor, kind in tensors:
        if not nn.parameter.is_lazy(tensor):
            tensor.data = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
            tensor.__class__ = kind


def _attributes_as_now(owner: nn.Module) -> Undo:
    """Return what restores the attributes of a module, its dicts included."""
    attributes = dict(vars(owner))
    tables = [
        (table, dict(table)) for table in attributes.values() if isinstance(table, dict)
    ]

    def put_back() -> None:
        vars(owner).clear()
        vars(owner).update(attributes)
        for table, content in tables:
            table.clear()
            table.update(content)

    return put_back
