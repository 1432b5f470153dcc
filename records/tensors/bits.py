"""Whether two tensors hold the same bits."""

import torch
from torch import Tensor

from .memory import is_distributed
from .shares import shares_of_both


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors of one shape hold the same bits; NaN is like NaN.

    Of what is spread over processes each compares its own share, and asks no other.
    """
    if is_distributed(a) or is_distributed(b):
        a, b = shares_of_both(a, b)
        if a.shape != b.shape:
            return False
    a, b = (t.resolve_conj().resolve_neg().contiguous().reshape(-1) for t in (a, b))
    return torch.equal(a.view(torch.uint8), b.to(a.device).view(torch.uint8))
