"""Values into the tensors of a module: all of them, or none."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from ....config.process.interrupts import all_or_nothing, undo_all
from ....records.tensors.grad_mode import no_grad
from ....records.tensors.torch_internals import n_storage_users, storage_address
from ..tensor_writes import assign, copy_into
from ..uninitialized.build import UnfilledBuild

Filling: TypeAlias = tuple[list[Tensor], Tensor]
"""Tensors over one memory, and the values that they get."""

Undos: TypeAlias = list[Callable[[], object]]
"""What undoes the changes that were made so far, the last one last."""


def copy_all(
    fillings: Sequence[Filling],
    between: Callable[[Undos], object],
    *,
    afterwards: Callable[[], object],
    early: Collection[int] = (),
) -> None:
    """Copy values into the memory of their tensors, and make two other changes.

    All of it or nothing: what may fail comes first and is undone, and what cannot fail
    is finished even when Ctrl-C comes between. ``between`` may fail, and sees the
    values of the fillings that ``early`` numbers; ``afterwards`` sees all. A tensor
    whose dtype is to change gets new memory, and stays the same object.
    """
    ordinary: list[Filling] = []
    fallible: list[Filling] = []
    for i, filling in enumerate(fillings):
        is_late = i not in early and _cannot_fail(*filling)
        (ordinary if is_late else fallible).append(filling)

    def attempt(undos: Undos) -> None:
        between_undos: Undos = []
        # What was computed from values is put back when they are.
        undos.append(lambda: undo_all(between_undos))
        for tensors, values in fallible:
            undos.append(_undo_of(tensors))
            _fill(tensors, values)
        between(between_undos)

    def finish() -> None:
        _copy_ordinary(ordinary)
        afterwards()

    all_or_nothing(attempt, finish)


def _copy_ordinary(fillings: Iterable[Filling]) -> None:
    """Copy values for which `_cannot_fail` holds."""
    is_inference = torch.is_inference_mode_enabled()
    # Thousands pass here: what a single copy would set up is set up once.
    with no_grad():
        for tensors, values in fillings:
            if tensors[0].is_inference() is is_inference:
                tensors[0].copy_(values)
            else:
                copy_into(tensors[0], values)


def _cannot_fail(tensors: list[Tensor], values: Tensor) -> bool:
    """Return whether the copy is one of plain memory of one dtype, shape and device."""
    tensor = tensors[0]
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
        # The values may be a file's own memory, and the module's is written.
        assign(tensors, values.clone())
        return
    # Views of the memory get the values too, when the tensor leaves it.
    copy_into(tensors[0], values)
    if tensors[0].dtype is not values.dtype:
        assign(tensors, values)


def _undo_of(tensors: list[Tensor]) -> Callable[[], object]:
    """Return what gives ``tensors`` back what they hold before values come."""
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
    """Make the values the memory of their tensors, without a copy where that is safe.

    It is for parameters of ``build`` on whose memory nobody else stands. Into all other
    memory the values are copied, since a view in a plain list, an array of numpy or
    another process may see it. Return the numbers of the fillings whose dtype changed,
    so that their views could not come along: they keep the old memory.
    """
    left_behind: list[int] = []
    ordinary: list[Filling] = []
    # Thousands pass here: what a single copy would set up is set up once.
    with no_grad():
        for i, (tensors, values) in enumerate(fillings):
            if build is not None and build.supply(tensors):
                assign(tensors, values)
                continue
            if _cannot_fail(tensors, values):
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
    """Return whether other tensors than these stand on their memory."""
    # The storage object that is asked counts as one more.
    storage = tensors[0].untyped_storage()
    return n_storage_users(storage_address(storage)) > len(tensors) + 1
