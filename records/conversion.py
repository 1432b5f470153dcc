"""Values from one dtype to another, refusing to make finite ones infinite."""

import math

import torch

from .entry import Entry
from .errors import PrecisionError
from .precision import Precision
from .show import show_dtype


def convert(
    values: torch.Tensor, out: torch.Tensor, entry: Entry, precision: Precision
) -> None:
    """Copy ``values`` into ``out``, a flat tensor of the same length.

    Raises `PrecisionError` if a finite value would become infinite, unless
    ``precision.overflow`` says what becomes of it.
    """
    narrows = values.dtype is not out.dtype and out.dtype.is_floating_point
    if not narrows or precision.overflow == "allow" or not _may_overflow(values, out):
        out.copy_(values)
        return
    values = values.cpu()
    out.copy_(values)
    lost = values.isfinite() & ~out.to(torch.float64).isfinite()
    if out.dtype.itemsize == 1:
        # Some float8 dtypes have no infinity: torch gives their largest value instead.
        lost |= values.isfinite() & (values.abs() > _largest(out.dtype))
    if not lost.any():
        return
    if precision.overflow == "saturate":
        most = torch.finfo(out.dtype).max
        out[lost] = values[lost].clamp(-most, most).to(out.dtype)
        return
    name = show_dtype(out.dtype)
    raise PrecisionError(
        entry.path,
        float(values[lost][0]),
        name,
        "Save with precision='bfloat16', which has the range of float32, keep this "
        f"entry (Precision(param=..., keep=[{entry.path!r}])), or say what becomes of "
        "such values with overflow='saturate' or 'allow'.",
    )


def _may_overflow(values: torch.Tensor, out: torch.Tensor) -> bool:
    if not values.numel():
        return False
    if (
        values.dtype.itemsize == 1
        or torch.finfo(values.dtype).max <= torch.finfo(out.dtype).max
    ):
        return values.dtype.itemsize == 1 and out.dtype.itemsize == 1
    low, high = torch.aminmax(values)
    most = torch.finfo(out.dtype).max
    # A NaN hides the others, and compares as False.
    return not (-most <= float(low) and float(high) <= most)


def _largest(dtype: torch.dtype) -> float:
    """Return the largest value that still rounds to a finite one of ``dtype``."""
    limits = torch.finfo(dtype)
    half_a_step: float = limits.eps * 2.0 ** math.floor(math.log2(limits.max)) / 2
    return limits.max + half_a_step
