"""States prepared for pickle, which would write shared memory many times."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..engines.memory.tensor_form import is_plain_tensor


def states_to_pickle(states: Mapping[Tensor, Any]) -> defaultdict[Tensor, Any]:
    """Return ``states`` with tensors that share memory as places in that memory.

    Python's pickle writes the whole memory of every tensor; that of one object, once.
    """
    blocks: dict[tuple[int, torch.dtype], Tensor] = {}
    rows = defaultdict[Tensor, Any](dict)
    for param, fields in states.items():
        # Users can write to `optimizer.state`, so an entry may be anything.
        is_state = type(fields) is dict
        rows[param] = (
            {name: _place(value, blocks) for name, value in fields.items()}
            if is_state
            else fields
        )
    return rows


class _Place:
    """A tensor by its place in memory, which is unpickled as a tensor."""

    def __init__(self, block: Tensor, tensor: Tensor) -> None:
        self.block = block
        self.form = tuple(tensor.shape), tensor.stride(), tensor.storage_offset()

    def __reduce__(self) -> tuple[object, ...]:
        return _tensor_at, (self.block, *self.form)


def _tensor_at(
    block: Tensor, shape: tuple[int, ...], stride: tuple[int, ...], start: int
) -> Tensor:
    return block.as_strided(shape, stride, start)


def _place(value: Any, blocks: dict[tuple[int, torch.dtype], Tensor]) -> Any:
    """Return ``value`` as a place in a block, if it uses only a part of its memory."""
    if not isinstance(value, Tensor) or not is_plain_tensor(value):
        return value
    if value.layout is not torch.strided or value.is_meta or value.requires_grad:
        return value
    memory = value.untyped_storage()
    if memory.nbytes() == value.nbytes or memory.nbytes() % value.itemsize:
        return value
    key = memory.data_ptr(), value.dtype
    if key not in blocks:
        blocks[key] = torch.empty(0, dtype=value.dtype, device=value.device)
        blocks[key].set_(memory)
    return _Place(blocks[key], value)
