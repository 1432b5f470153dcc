"""Which stored values fit which tensors, and how they become them."""

import torch

from ...records.conversion import convert_loaded
from ...records.dtypes import NAME_OF
from ...records.entry import Entry
from ...records.show import show_dtype

_INTEGERS = frozenset(
    {
        torch.uint8,
        torch.int8,
        torch.uint16,
        torch.int16,
        torch.uint32,
        torch.int32,
        torch.uint64,
        torch.int64,
    }
)


def fits(stored: torch.dtype, expected: torch.dtype) -> bool:
    """Return whether values may be converted: real floats, and integers that widen."""
    if stored is expected:
        return True
    if stored.is_floating_point and expected.is_floating_point:
        return expected in NAME_OF
    if stored not in _INTEGERS or expected not in _INTEGERS:
        return False
    small, large = torch.iinfo(stored), torch.iinfo(expected)
    return large.min <= small.min and small.max <= large.max


def misfit(stored: Entry, expected: Entry, dtype: torch.dtype) -> str | None:
    """Return what keeps ``stored`` from being loaded into ``expected``, or None."""
    if stored.shape != expected.shape:
        return f"found shape {stored.shape}, expected {expected.shape}"
    return misfit_of_dtype(stored, dtype)


def misfit_of_dtype(stored: Entry, dtype: torch.dtype) -> str | None:
    """Return what keeps the values of ``stored`` from becoming ``dtype``, or None."""
    if not fits(stored.dtype, dtype):
        return (
            f"found dtype {show_dtype(stored.dtype)}, expected {show_dtype(dtype)}; "
            "only real floats become other floats, and integers wider ones"
        )
    return None


def converted(tensor: torch.Tensor, entry: Entry, dtype: torch.dtype) -> torch.Tensor:
    """Return ``tensor`` at ``dtype``; itself if it has it already.

    Raises `PrecisionError` for a value that ``dtype`` cannot hold.
    """
    if tensor.dtype is dtype:
        return tensor
    out = torch.empty(tensor.shape, dtype=dtype, device=tensor.device)
    convert_loaded(tensor, out, entry.path)
    return out
