"""Comparison of the bits of two tensors."""

import torch
from torch import Tensor

from .memory import is_distributed
from .shares import shares_of_both


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors of one shape have equal bits; NaN equals NaN.

    For distributed tensors each process compares its own share, without messages.
    """
    if is_distributed(a) or is_distributed(b):
        a, b = shares_of_both(a, b)
        if a.shape != b.shape:
            return False
    return torch.equal(_bytes_of(a), _bytes_of(b).to(a.device))


def _bytes_of(values: Tensor) -> Tensor:
    flat = values.resolve_conj().resolve_neg().contiguous().reshape(-1)
    if flat.stride() != (1,):
        # A single value is contiguous for any stride, and can be viewed as bytes only
        # if that is 1.
        flat = flat.clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8)
