# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""Tensors of lazy modules, which take the shape of what they are filled with."""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from ...config.process.transaction import Transaction
from ...records.entries.entries import Entries, path_index
from ..modules.tree import Places


def materialize_lazy(places: Places, record: Entries, transaction: Transaction) -> None:
    """Give lazy tensors that ``record`` has its shapes, as torch does when it loads.

    They are lazy again if the transaction fails. The module forgets that it is a lazy
    one when it is called first.
    """
    entries_by_path = path_index(record)
    lazy: list[tuple[Any, type]] = []
    transaction.undo_with(partial(_make_lazy, lazy))
    for prefix, owner in places:
        # 5,000 modules pass here at every load.
        if not isinstance(owner, LazyModuleMixin):
            continue
        for name, tensor in (*owner._parameters.items(), *owner._buffers.items()):
            entry = entries_by_path.get(prefix + name)
            if tensor is None or entry is None or not nn.parameter.is_lazy(tensor):
                continue
            unshaped: Any = tensor
            lazy.append((unshaped, type(unshaped)))
            unshaped.materialize(entry.shape)


def _make_lazy(tensors: list[tuple[Any, type]]) -> None:
    for tensor, kind in tensors:
        if not nn.parameter.is_lazy(tensor):
            tensor.data = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
            tensor.__class__ = kind
