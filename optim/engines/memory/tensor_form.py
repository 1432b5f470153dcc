"""The memory layout of tensors, and copies in the layout of others."""

from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from ....config.process.interrupts import raise_of_signal
from ....records.tensors.torch_internals import storage_address


@runtime_checkable
class _RecordLike(Protocol):
    """A record in a state, as engines see it: it has fields, and copies itself."""

    def fields(self) -> dict[str, Any]: ...

    def clone(self) -> Self: ...


def is_plain_tensor(tensor: Tensor) -> bool:
    """Return whether ``tensor`` is not a subclass that redefines operations."""
    return type(tensor) is torch.Tensor or type(tensor) is torch.nn.Parameter


def has_form_of(param: Tensor, value: Tensor) -> bool:
    """Return whether ``value`` can have the memory layout of ``param``."""
    return (
        value.shape == param.shape and is_plain_tensor(param) and is_plain_tensor(value)
    )


def copied(param: Tensor, value: Any) -> Any:
    """Return a copy of ``value``, in the memory format of ``param`` if of its shape.

    The last digit of some of torch's functions depends on the format, and a resumed run
    has to use the same one as the first step.
    """
    if not isinstance(value, Tensor) or not has_form_of(param, value):
        return owned(value)
    room = torch.empty_strided(
        param.shape, param.stride(), dtype=value.dtype, device=value.device
    )
    return room.copy_(value)


def owned(value: Any) -> Any:
    """Return a value whose tensors have storage of their own."""
    if isinstance(value, Tensor):
        return value.detach().clone(memory_format=torch.preserve_format)
    if isinstance(value, _RecordLike):
        return value.clone()
    if isinstance(value, list | tuple):
        # A named tuple takes its items as separate arguments.
        rebuild: Any = getattr(type(value), "_make", type(value))  # pyright: ignore[reportUnknownArgumentType]  # items are any value
        return rebuild(map(owned, value))  # pyright: ignore[reportUnknownArgumentType]  # items are any value
    if isinstance(value, dict):
        return {key: owned(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]  # items are any value
    return value


def stepped_tensor(param: Tensor) -> Tensor:
    """Return the parameter's memory without autograd; a complex one as real pairs."""
    tensor = param.detach()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def as_pairs(value: Any) -> Any:
    """Return complex numbers of torch as the real pairs that are stepped."""
    is_complex = isinstance(value, Tensor) and value.is_complex()
    return torch.view_as_real(value.resolve_conj()) if is_complex else value


def in_form_of(param: Tensor | None, value: Any) -> Any:
    """Return the real pairs of a complex parameter as complex numbers.

    Torch's state dicts have them so. It is the same memory, if torch can view it so.
    """
    if param is None or not param.is_complex() or not isinstance(value, Tensor):
        return value
    is_kept = value.dtype in (torch.float32, torch.float64)
    if not (is_kept and is_plain_tensor(value)) or value.shape != (*param.shape, 2):
        return value
    try:
        return torch.view_as_complex(value)
    except RuntimeError as error:  # pairs that are not adjacent in memory
        raise_of_signal(error)
        return torch.view_as_complex(value.contiguous().clone())


def memory_of(tensor: Any) -> Any:
    """Return a key that is equal for tensors that may share memory."""
    local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return storage_address(local.untyped_storage())
