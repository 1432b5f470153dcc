"""Storage of the states: small ones are adjacent, so that blocks hold many."""

from operator import is_
from typing import Any

import torch
from torch import Tensor

from ....records.tensors.memory import is_dense
from ....records.tensors.shares import own_share, spread
from .tensor_form import copied, is_plain_tensor

BLOCK = 128 * 1024
"""Elements of a block: a few blocks fit the shared cache, and calls cost little."""

SMALL = BLOCK // 2
"""The number of elements from which a parameter has blocks of its own."""


class Arena:
    """Gives the states of a group storage of their own, in consecutive rooms.

    The place of a small one is determined by the group's parameters alone, never by the
    order in which gradients arrived: the last elements of a block may be rounded
    differently from those before, and a resumed run has to find the same blocks.
    """

    def __init__(self, params: list[Tensor]) -> None:
        self.params = params
        self.places: dict[Tensor, tuple[int, int, int]] = {}
        """Block number, and start and size within it, of each small parameter."""
        self.sizes: list[int] = []
        self.blocks: dict[tuple[Any, ...], Tensor] = {}
        self._housed = set[Tensor]()
        self.given = set[tuple[Tensor, tuple[Any, ...]]]()
        """The rooms in use, whose earlier content may still be referenced."""
        for param in params:
            count = own_share(param).numel()
            if count >= SMALL:
                continue
            if not self.sizes or self.sizes[-1] + count > BLOCK:
                self.sizes.append(0)
            self.places[param] = (len(self.sizes) - 1, self.sizes[-1], count)
            self.sizes[-1] += count

    def holds(self, params: list[Tensor]) -> bool:
        """Return whether it was created for these parameters."""
        return len(params) == len(self.params) and all(map(is_, params, self.params))

    def has_housed(self, param: Tensor) -> bool:
        """Return whether a state of ``param`` was given rooms."""
        return param in self._housed

    def is_home_of(self, param: Tensor, fields: dict[str, Any]) -> bool:
        """Return whether a state lies in its rooms, if `house` would give it some."""
        if param not in self.places:
            return True
        number, start, count = self.places[param]
        like = own_share(param)
        for name, value in fields.items():
            own_value = _own_value(param, value)
            if not count or own_value is None or not _is_like(like, own_value):
                continue
            # Other processes step shared memory too (Hogwild): it stays where it is.
            if own_value.is_shared():  # type: ignore[no-untyped-call]  # torch's stub
                continue
            block = self.blocks.get((number, name, own_value.dtype, like.device))
            if block is None or count != like.numel():
                return False
            room = block.data_ptr() + start * block.itemsize
            if own_value.data_ptr() != room or own_value.stride() != like.stride():
                return False
        return True

    def house(
        self, param: Tensor, fields: dict[str, Any], *, adopt: bool = False
    ) -> dict[str, Any]:
        """Return the fields with tensors copied into storage, without fields of None.

        With ``adopt`` large tensors are used directly if nothing else refers to them.
        """
        housed: dict[str, Any] = {}
        for name, value in fields.items():
            if value is None:
                continue
            like = own_share(param)
            own_value = _own_value(param, value)
            if own_value is None or not _is_like(like, own_value):
                housed[name] = copied(param, value)
            elif (
                adopt
                and param not in self.places
                and own_value.stride() == like.stride()
            ):
                housed[name] = value
            else:
                room = self._room(name, param, like, own_value).copy_(own_value)
                housed[name] = room if own_value is value else spread(room, value)
        return housed

    def _room(self, name: str, param: Tensor, like: Tensor, value: Tensor) -> Tensor:
        shape, stride = like.shape, like.stride()
        dtype, device = value.dtype, like.device
        number, start, count = self.places.get(param, (0, 0, -1))
        key = (number, name, dtype, device)
        # A parameter whose size has changed would overflow into the next room, and a
        # room that was given out may still be read by a state that was replaced.
        if count != like.numel() or (param, key) in self.given:
            return torch.empty_strided(shape, stride, dtype=dtype, device=device)
        self.given.add((param, key))
        self._housed.add(param)
        # The whole block is allocated for the first of its rooms: the others keep their
        # places, whenever their first gradient comes.
        if key not in self.blocks:
            size = self.sizes[number]
            self.blocks[key] = torch.empty(size, dtype=dtype, device=device)
        # Engines read tensor and state as flat memory, so the elements of both must be
        # in the same order.
        return self.blocks[key].as_strided(shape, stride, start)


def _own_value(param: Any, value: Any) -> Tensor | None:
    """Return this process's part of a tensor that is distributed like ``param``."""
    if not isinstance(value, Tensor):
        return None
    is_alike = getattr(value, "placements", None) == getattr(param, "placements", None)
    return own_share(value) if is_alike and value.shape == param.shape else None


def _is_like(param: Tensor, value: Tensor) -> bool:
    """Whether ``value`` may share a block with others: plain, dense, of one shape."""
    return (
        type(value) is torch.Tensor
        and value.shape == param.shape
        and value.device == param.device
        and is_plain_tensor(param)
        and is_dense(param)
    )
