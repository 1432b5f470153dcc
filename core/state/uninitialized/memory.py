"""Who else uses the memory of a parameter, and the blanks that stand for it."""

import torch
from torch import Tensor

from ....records.tensors.torch_internals import (
    have_one_implementation,
    n_tensors_on,
)


def is_ordinary(data: Tensor) -> bool:
    """Return whether ``data`` is a plain tensor with values in a memory of strides."""
    return (
        data.layout is torch.strided
        and data.numel() > 0
        and not data.requires_grad
        and not data.is_meta
        and not data.is_inference()
        and not data.is_neg()
        and not data.is_conj()
        and (data.is_cpu or have_one_implementation(BLANK_TENSOR, data))
    )


def stands_alone(data: Tensor, n_tensors: int) -> bool:
    """Return whether ``n_tensors`` are all that stand on the memory of ``data``.

    Memory that torch cannot resize is another's: numpy's, a file's, a process's.
    """
    return n_tensors_on(data) == n_tensors and data.untyped_storage().resizable()


def can_require_grad(tensor: Tensor) -> bool:
    """Return whether torch lets tensors of its dtype require grad."""
    return tensor.is_floating_point() or tensor.is_complex()


def _blank() -> Tensor:
    """Return an element of a dtype with which torch computes least; NaN if it does."""
    # Torch before 2.8 lacks the dtype of which it only moves elements, and computes
    # with this one: `past_python` keeps it from doing so.
    dtype = getattr(torch, "float4_e2m1fn_x2", torch.float8_e5m2)
    return torch.full((), 0x7F, dtype=torch.uint8).view(dtype)


BLANK_TENSOR = _blank()
BLANK = BLANK_TENSOR.dtype
"""The dtype that an unfilled tensor has for code past Python."""
