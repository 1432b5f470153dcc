"""Writing of values into the tensors of a module: all of them, or none.

Until the first is written, values are held in compact form: a tensor of a few bytes
takes over a kilobyte.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from ....config.process.transaction import Transaction, Undo
from ....records.io.lazy_payload import LazyPayload, tensor_of
from ....records.io.source import Maps, Source
from ....records.tensors.grad_mode import no_grad
from ....records.tensors.memory import ORDINARY
from ....records.tensors.torch_internals import n_tensors_on
from ....records.writing.lazy_snapshot import settle_snapshots
from ....records.writing.payload import byte_view
from ..tensor_writes import assign, copy_into
from ..uninitialized.build import UnfilledBuild

MOST_STAGED = 1 << 10
"""Maximal size of values that take less memory as a copy than as a tensor, in bytes."""
_ALIGN = 16
"""Size of the widest dtype, in bytes."""


@dataclass(slots=True, eq=False)
class MappedValues:
    """Values that were verified in a map of their file, and are read there again."""

    payload: LazyPayload
    source: Source
    """The map."""

    @property
    def dtype(self) -> torch.dtype:
        """The shape and dtype of the values."""
        return self.payload.dtype

    def tensor(self) -> Tensor:
        """Return the values, in the memory of the map."""
        data = self.source.read(*self.payload.pieces[0])
        return tensor_of(data, self.payload)


@dataclass(slots=True, eq=False)
class StagedValues:
    """A copy of values, among others in one block of memory."""

    room: bytearray
    offset: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    def tensor(self) -> Tensor:
        """Return the values, in the memory of the block."""
        count = torch.Size(self.shape).numel()
        values = torch.frombuffer(
            self.room, dtype=self.dtype, count=count, offset=self.offset
        )
        return values.view(self.shape)


Values: TypeAlias = Tensor | MappedValues | StagedValues
"""The value for a tensor, or an object whose ``tensor()`` returns it."""


def tensor_of_values(values: Values) -> Tensor:
    """Return ``values`` as a tensor."""
    return values if isinstance(values, Tensor) else values.tensor()


class HeldValues:
    """Holds the values of one load, each in the form that takes the least memory."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._room = bytearray()

    def hold(self, values: Tensor, payload: object) -> Values:
        """Return a holder of ``values``, which were read by ``payload`` if it is given.

        It is the tensor itself if nothing takes less memory. Copying held values to
        their target must be a copy that cannot fail.
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


Filling: TypeAlias = tuple[list[Tensor], Values]
"""Tensors that share memory, and their new values."""


def copy_all(
    fillings: Sequence[Filling],
    transaction: Transaction,
    *,
    early: Collection[int] = (),
) -> None:
    """Copy values into the memory of their tensors, as a part of ``transaction``.

    Copies that may fail are made immediately, as are the fillings with numbers in
    ``early``, whose values other code will look at; all other copies cannot fail and
    come last. A tensor whose dtype changes gets new memory, and remains the same
    object.
    """
    settle_snapshots()
    sure: list[Filling] = []
    for i, (tensors, values) in enumerate(fillings):
        if i not in early and cannot_fail(tensors, values):
            sure.append((tensors, values))
            continue
        transaction.undo_with(_undo_of(tensors))
        _fill(tensors, tensor_of_values(values))
    transaction.make_last(_SureCopies(sure))


class _SureCopies:
    """Copies of values for which `cannot_fail` holds."""

    def __init__(self, fillings: Sequence[Filling]) -> None:
        self._fillings = fillings

    def make(self) -> None:
        """Copy all values; repeating it gives the same result."""
        _copy_ordinary(self._fillings)

    def undo(self) -> Undo:
        """Return what restores the present values, of which this makes a copy."""
        # In main memory, since a device may have no room for its parameters twice.
        old_values: list[Filling] = [
            (tensors, tensors[0].detach().to("cpu", copy=True))
            for tensors, _ in self._fillings
        ]
        return partial(_copy_ordinary, old_values)


def _copy_ordinary(fillings: Iterable[Filling]) -> None:
    """Copy values for which `cannot_fail` holds."""
    is_inference = torch.is_inference_mode_enabled()
    # This runs for thousands of tensors, so the setup of a copy is shared.
    with no_grad():
        for tensors, held_values in fillings:
            values = tensor_of_values(held_values)
            if tensors[0].is_inference() is is_inference:
                tensors[0].copy_(values)
            else:
                copy_into(tensors[0], values)


def cannot_fail(tensors: list[Tensor], values: Values) -> bool:
    """Return whether a copy is of plain memory of one dtype, shape and device."""
    tensor = tensors[0]
    if not isinstance(values, Tensor):
        # This was checked before they were held.
        return True
    return (
        type(tensor) in (Tensor, torch.nn.Parameter)
        and type(values) in (Tensor, torch.nn.Parameter)
        and tensor.dtype is values.dtype
        and tensor.shape == values.shape
        and tensor.device == values.device
        and tensor.layout is torch.strided
        and 0 not in tensor.stride()
    )


def _fill(tensors: list[Tensor], values: Tensor) -> None:
    if tensors[0].shape != values.shape:
        # The values may be in a file's memory, while the module's is written.
        assign(tensors, values.clone())
        return
    # Views of the memory get the values too, if the tensor moves away from it.
    copy_into(tensors[0], values)
    if tensors[0].dtype is not values.dtype:
        assign(tensors, values)


def _undo_of(tensors: list[Tensor]) -> Undo:
    """Return what restores the values that ``tensors`` hold before the load."""
    old_values = tensors[0].detach().clone()
    memories = [tensor.data for tensor in tensors]
    grads = [tensor.grad if tensor.is_leaf else None for tensor in tensors]

    def undo() -> None:
        for tensor, memory, grad in zip(tensors, memories, grads, strict=True):
            if tensor.dtype is not memory.dtype or tensor.shape != memory.shape:
                assign([tensor], memory)
                tensor.grad = grad
        copy_into(tensors[0], old_values)

    return undo


def assign_all(fillings: Iterable[Filling], build: UnfilledBuild | None) -> list[int]:
    """Let tensors adopt the memory of their values where that is safe.

    It is safe for parameters that ``build`` created and whose memory is not shared.
    Values are copied into all other memory, since a view in a plain list, a numpy array
    or another process may see it. Returns the numbers of the fillings whose dtype
    changed, so that their views could not follow: they keep the old memory.
    """
    left_behind: list[int] = []
    ordinary: list[Filling] = []
    # This runs for thousands of tensors, so the setup of a copy is shared.
    with no_grad():
        for i, (tensors, held_values) in enumerate(fillings):
            values = tensor_of_values(held_values)
            if build is not None and build.supply(tensors):
                assign(tensors, values)
                continue
            if cannot_fail(tensors, values):
                ordinary.append((tensors, values))
                continue
            target = tensors[0]
            if target.shape != values.shape:
                assign(tensors, values)
                continue
            copy_into(target, values)
            if target.dtype is not values.dtype:
                if is_shown(tensors):
                    left_behind.append(i)
                assign(tensors, values)
    _copy_ordinary(ordinary)
    return left_behind


def is_shown(tensors: list[Tensor]) -> bool:
    """Return whether other tensors than these share their memory."""
    return n_tensors_on(tensors[0]) > len(tensors)
