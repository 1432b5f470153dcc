# pyright: reportPrivateUsage=false
# Storages have no public address.
"""Values into the tensors of a module: all of them, or none."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ...config.interrupts import all_or_nothing
from ...records.grad_mode import no_grad

Filling: TypeAlias = tuple[list[Tensor], Tensor]
"""Tensors over one memory, and the values that they get."""

Undos: TypeAlias = list[Callable[[], object]]
"""What undoes the changes that were made so far, the last one last."""


def copy_all(
    fillings: Sequence[Filling],
    before: Callable[[Undos], object],
    afterwards: Callable[[], object],
) -> None:
    """Copy values into the memory of their tensors, between two other changes.

    All of it or nothing: what may fail comes first and is undone, and what cannot fail
    is finished even when Ctrl-C comes between. A tensor whose dtype is to change gets
    new memory, and stays the same object.
    """
    ordinary = [filling for filling in fillings if _cannot_fail(*filling)]
    others = [filling for filling in fillings if not _cannot_fail(*filling)]

    def attempt(undos: Undos) -> None:
        before(undos)
        for tensors, values in others:
            undos.append(_undo_of(tensors, values))
            _fill(tensors, values)

    def finish() -> None:
        for tensors, values in ordinary:
            copy_into(tensors[0], values)
        afterwards()

    all_or_nothing(attempt, finish)


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
    if tensors[0].dtype is not values.dtype:
        assign(tensors, values)
    else:
        copy_into(tensors[0], values)


def _undo_of(tensors: list[Tensor], values: Tensor) -> Callable[[], object]:
    """Return what gives ``tensors`` back what they hold before ``values`` come."""
    if tensors[0].dtype is values.dtype:
        old = tensors[0].detach().clone()
        return lambda: copy_into(tensors[0], old)
    memories = [tensor.data for tensor in tensors]

    def undo() -> None:
        for tensor, memory in zip(tensors, memories, strict=True):
            assign([tensor], memory)

    return undo


def assign_all(fillings: Iterable[Filling]) -> None:
    """Make the values the memory of their tensors, without a copy where that is safe.

    Where somebody else sees the same memory (a view in a plain list, another process),
    the values are copied into it instead.
    """
    for tensors, values in fillings:
        if tensors[0].dtype is not values.dtype or _is_alone(tensors):
            assign(tensors, values)
        else:
            copy_into(tensors[0], values)


def assign(tensors: Iterable[Tensor], values: Tensor) -> None:
    """Let every one of ``tensors`` stand on the memory of ``values``."""
    for tensor in tensors:
        tensor.data = values


def copy_into(tensor: Tensor, values: Tensor) -> None:
    """Overwrite what ``tensor`` holds, whatever its layout and device."""
    with _writing(tensor):
        if hasattr(tensor, "device_mesh"):
            _scatter_into(tensor, values)
            return
        repeated = [
            i
            for i, (size, stride) in enumerate(
                zip(tensor.shape, tensor.stride(), strict=True)
            )
            if stride == 0 and size > 1
        ]
        if repeated and not _is_constant(values, repeated):
            tensor.data = values.to(tensor.device)
            return
        target = tensor
        for dim in repeated:
            target, values = target.narrow(dim, 0, 1), values.narrow(dim, 0, 1)
        target.copy_(values)


@contextmanager
def _writing(tensor: Tensor) -> Generator[None]:
    is_inference = tensor.is_inference()
    with no_grad():
        if torch.is_inference_mode_enabled() is is_inference:
            yield
        else:
            with torch.inference_mode(is_inference):
                yield


def _is_constant(values: Tensor, dims: list[int]) -> bool:
    """Return whether ``values`` do not change along ``dims``, NaN being like NaN."""
    for dim in dims:
        first = values.narrow(dim, 0, 1)
        same = (values == first) | ((values != values) & (first != first))
        if not bool(same.all()):
            return False
    return True


def _scatter_into(tensor: Any, values: Tensor) -> None:
    """Keep this process's share of ``values``, which every process has whole."""
    from torch.distributed.tensor import distribute_tensor

    shared = distribute_tensor(
        values.to(tensor.device_mesh.device_type),
        tensor.device_mesh,
        tensor.placements,
        src_data_rank=None,
    )
    tensor.to_local().copy_(shared.to_local())


def _is_alone(tensors: list[Tensor]) -> bool:
    """Return whether nothing else stands on the memory of ``tensors``."""
    first = tensors[0]
    if type(first) is not torch.Tensor and type(first) is not torch.nn.Parameter:
        return False
    storage = first.untyped_storage()
    # The storage object that is asked counts as one more.
    return _n_users(storage._cdata) == len(tensors) + 1 and not (
        first.is_cpu and storage.is_shared()
    )


_n_users: Callable[[int], int] = torch._C._storage_Use_Count
