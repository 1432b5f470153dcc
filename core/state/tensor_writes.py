"""Writing of values into a tensor of any layout, device and mode."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...records.tensors.bits import same_bits
from ...records.tensors.grad_mode import no_grad
from ...records.tensors.shares import own_share, share_of


def assign(tensors: Iterable[Tensor], values: Tensor) -> None:
    """Let all of ``tensors`` use the memory of ``values``."""
    for tensor in tensors:
        if tensor.is_inference() is not values.is_inference():
            # Torch would turn the tensor into the other kind, which autograd refuses.
            with mode_of(tensor), no_grad():
                values = values.clone()
        changes_dtype = tensor.dtype is not values.dtype
        tensor.data = values
        if changes_dtype and tensor.is_leaf and tensor.grad is not None:
            tensor.grad = tensor.grad.to(values.dtype)


def copy_into(tensor: Tensor, values: Tensor) -> None:
    """Overwrite the values of ``tensor``, whatever its layout and device."""
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
            assign([tensor], values.to(tensor.device))
            return
        target = tensor
        for dim in repeated:
            target, values = target.narrow(dim, 0, 1), values.narrow(dim, 0, 1)
        target.copy_(values)


@contextmanager
def _writing(tensor: Tensor) -> Generator[None]:
    with mode_of(tensor), no_grad():
        yield


@contextmanager
def mode_of(tensor: Tensor) -> Generator[None]:
    """Enter or leave inference mode, as the tensor was created.

    Leaving inference mode turns grad mode on, so `no_grad` is entered inside.
    """
    is_inference = tensor.is_inference()
    if torch.is_inference_mode_enabled() is is_inference:
        yield
    else:
        with torch.inference_mode(is_inference):
            yield


def _is_constant(values: Tensor, dims: list[int]) -> bool:
    """Return whether the bits of ``values`` do not change along ``dims``.

    By value 0.0 would equal -0.0, and torch cannot compare values of some dtypes.
    """
    constants = (values.narrow(dim, 0, 1).expand_as(values) for dim in dims)
    return all(same_bits(values, constant) for constant in constants)


def _scatter_into(tensor: Any, values: Tensor) -> None:
    """Keep this process's share of ``values``, which every process has as a whole.

    Values that are distributed like the tensor are shares already.
    """
    if hasattr(values, "device_mesh"):
        tensor.to_local().copy_(own_share(values))
        return
    tensor.to_local().copy_(share_of(values, tensor).to_local())
