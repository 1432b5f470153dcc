"""Storage of the states: small ones side by side, so that blocks hold many."""

from typing import Any

import torch
from torch import Tensor

from .blocks import BLOCK, SMALL
from .loop import owned


class Arena:
    """Gives tensors of states storage of their own, next to the one before."""

    def __init__(self, params: list[Tensor], *, adopt: bool = False) -> None:
        """Prepare for ``params``; ``adopt`` takes large tensors over as they are."""
        self.adopt = adopt
        self.left = sum(p.numel() for p in params if p.numel() < SMALL)
        self.open: dict[tuple[Any, ...], tuple[Tensor, int]] = {}

    def house(self, param: Tensor, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the fields with tensors copied into storage; without those of None."""
        housed: dict[str, Any] = {}
        for name, value in fields.items():
            if value is None:
                continue
            if not isinstance(value, Tensor) or not _is_like(param, value):
                housed[name] = owned(value)
                continue
            if (
                self.adopt
                and param.numel() >= SMALL
                and value.stride() == param.stride()
            ):
                housed[name] = value
                continue
            housed[name] = self._room(name, param, value).copy_(value)
        if param.numel() < SMALL:
            self.left -= param.numel()
        return housed

    def _room(self, name: str, param: Tensor, value: Tensor) -> Tensor:
        count = param.numel()
        shape, stride = param.shape, param.stride()
        dtype, device = value.dtype, param.device
        if count >= SMALL:
            return torch.empty_strided(shape, stride, dtype=dtype, device=device)
        key = (name, dtype, device)
        block, used = self.open.get(key, (None, 0))
        if block is None or used + count > len(block):
            block = torch.empty(
                max(count, min(BLOCK, self.left)), dtype=dtype, device=device
            )
            used = 0
        self.open[key] = (block, used + count)
        return block.as_strided(shape, stride, used)


def _is_like(param: Tensor, value: Tensor) -> bool:
    """Whether ``value`` may share a block with others: plain, dense, of one shape."""
    return (
        type(value) is torch.Tensor
        and value.shape == param.shape
        and value.device == param.device
        and is_plain(param)
        and is_dense(param)
    )


def is_plain(tensor: Tensor) -> bool:
    """Return whether ``tensor`` is no subclass that gives operations other meanings."""
    return type(tensor) is torch.Tensor or type(tensor) is torch.nn.Parameter


def is_dense(tensor: Tensor) -> bool:
    """Return whether the elements fill one run of memory, in any order, each once."""
    if tensor.is_contiguous():
        return True
    if tensor.numel() == 0:
        return False
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True
