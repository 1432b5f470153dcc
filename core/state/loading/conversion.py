"""Which stored values fit which tensors, and how they become them."""

import torch

from ....records.entries.entry import Entry
from ....records.tensors.conversion import convert_loaded
from ....records.tensors.dtypes import NAME_OF, name_of_dtype

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


def fits(stored_dtype: torch.dtype, expected_dtype: torch.dtype) -> bool:
    """Return whether values may be converted: real floats, and integers that widen."""
    if stored_dtype is expected_dtype:
        return True
    if stored_dtype.is_floating_point and expected_dtype.is_floating_point:
        return expected_dtype in NAME_OF
    if stored_dtype not in _INTEGERS or expected_dtype not in _INTEGERS:
        return False
    small, large = torch.iinfo(stored_dtype), torch.iinfo(expected_dtype)
    return large.min <= small.min and small.max <= large.max


def misfit(stored_entry: Entry, target: Entry, dtype: torch.dtype) -> str | None:
    """Return what keeps ``stored_entry`` from being loaded into ``target``, or None."""
    if stored_entry.shape != target.shape:
        return f"found shape {stored_entry.shape}, expected {target.shape}"
    return misfit_of_dtype(stored_entry, dtype)


def misfit_of_dtype(stored_entry: Entry, dtype: torch.dtype) -> str | None:
    """Return what keeps the stored values from becoming ``dtype``, or None."""
    if not fits(stored_entry.dtype, dtype):
        stored_name = name_of_dtype(stored_entry.dtype)
        return (
            f"found dtype {stored_name}, expected {name_of_dtype(dtype)}; only real "
            "floats become other floats, and integers wider ones"
        )
    return None


def convert_values(
    tensor: torch.Tensor, entry: Entry, dtype: torch.dtype
) -> torch.Tensor:
    """Return ``tensor`` at ``dtype``; itself if it has it already.

    Raises `PrecisionError` for a value that ``dtype`` cannot hold.
    """
    if tensor.dtype is dtype:
        return tensor
    out = torch.empty(tensor.shape, dtype=dtype, device=tensor.device)
    convert_loaded(tensor, out, entry.path)
    return out
