"""Values between their check and their copy, in less memory than tensors take.

A tensor of a few bytes takes over a kilobyte, and a load has all of its values before
it writes the first.
"""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from ....records.io.lazy_payload import LazyPayload, tensor_of
from ....records.io.source import Maps, Source
from ....records.tensors.memory import ORDINARY
from ....records.writing.payload import byte_view

MOST_STAGED = 1 << 10
"""Bytes of values that take less memory as a copy than as a tensor."""
_ALIGN = 16
"""Bytes of the widest dtype."""


@dataclass(slots=True, eq=False)
class MappedValues:
    """Values that were checked in a map of their file, and are read there again."""

    payload: LazyPayload
    source: Source
    """The map."""

    @property
    def dtype(self) -> torch.dtype:
        """That of the values."""
        return self.payload.dtype

    def tensor(self) -> Tensor:
        """Return the values, in the memory of the map."""
        data = self.source.read(*self.payload.pieces[0])
        return tensor_of(data, self.payload)


@dataclass(slots=True, eq=False)
class StagedValues:
    """A copy of values, among those of others in one memory."""

    room: bytearray
    offset: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    def tensor(self) -> Tensor:
        """Return the values, in the memory of the room."""
        count = torch.Size(self.shape).numel()
        values = torch.frombuffer(
            self.room, dtype=self.dtype, count=count, offset=self.offset
        )
        return values.view(self.shape)


Values: TypeAlias = Tensor | MappedValues | StagedValues
"""What a tensor gets, and ``tensor()`` of what is held in another form."""


def tensor_of_values(values: Values) -> Tensor:
    """Return the tensor that ``values`` are, or were."""
    return values if isinstance(values, Tensor) else values.tensor()


class HeldValues:
    """Holds the values of one load, each as what takes the least memory."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._room = bytearray()

    def hold(self, values: Tensor, payload: object) -> Values:
        """Return what gives ``values`` back, which were read by ``payload`` if any.

        The tensor itself where nothing takes less. The copy of values that are held
        must be one that cannot fail.
        """
        if not values.nbytes or values.device.type != "cpu":
            return values
        if isinstance(payload, LazyPayload) and self._is_mapped(payload):
            return MappedValues(payload, self._maps.of(payload.source))
        is_plain = type(values) in ORDINARY and values.is_contiguous()
        if values.nbytes > MOST_STAGED or not is_plain:
            return values
        self._room += bytes(-len(self._room) % _ALIGN)
        offset = len(self._room)
        self._room += byte_view(values)
        return StagedValues(self._room, offset, values.dtype, tuple(values.shape))

    def _is_mapped(self, payload: LazyPayload) -> bool:
        pieces = payload.pieces
        if payload.is_planes or len(pieces) != 1:
            return False
        return self._maps.mapped_bytes(payload.source, *pieces[0]) is not None
