"""Conversion of values between floating dtypes, refusing those that do not fit."""

import math
from typing import Literal, NamedTuple, TypeAlias

import torch

from ..errors import PrecisionError
from .dtypes import BY_NAME, NAME_OF, name_of_dtype

Overflow: TypeAlias = Literal["error", "saturate", "allow"]
Underflow: TypeAlias = Literal["allow", "warn", "error"]


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


class Rounding(NamedTuple):
    """What happens to values for which a dtype has no value near enough."""

    overflow: Overflow = "error"
    underflow: Underflow = "allow"


def is_convertible(stored_dtype: torch.dtype, expected_dtype: torch.dtype) -> bool:
    """Return whether values may be converted: real floats, and integers that widen."""
    if stored_dtype is expected_dtype:
        return True
    if stored_dtype.is_floating_point and expected_dtype.is_floating_point:
        return expected_dtype in NAME_OF
    if stored_dtype not in _INTEGERS or expected_dtype not in _INTEGERS:
        return False
    small, large = torch.iinfo(stored_dtype), torch.iinfo(expected_dtype)
    return large.min <= small.min and small.max <= large.max


def misfit_of_dtype(
    stored_dtype: torch.dtype, expected_dtype: torch.dtype
) -> str | None:
    """Return why stored values cannot be converted to the expected dtype, or None."""
    if is_convertible(stored_dtype, expected_dtype):
        return None
    return (
        f"found dtype {name_of_dtype(stored_dtype)}, expected "
        f"{name_of_dtype(expected_dtype)}; only real floats convert to other floats, "
        "and integers to wider ones"
    )


def convert(
    values: torch.Tensor,
    out: torch.Tensor,
    path: str,
    rounding: Rounding = Rounding(),  # noqa: B008  # immutable
) -> int:
    """Copy ``values`` into ``out``, a flat tensor of the same length.

    Returns how many nonzero values became zero, or 0 if that is allowed. Raises
    `PrecisionError`, with ``path``, for a value that ``out`` cannot hold: one beyond
    its range, an infinity, a negative value or a zero where it has none.
    """
    if values.dtype is out.dtype or not out.dtype.is_floating_point:
        out.copy_(values)
        return 0
    if values.dtype.itemsize == 1:
        # Exact, and torch lacks casts between some of these dtypes.
        values = values.to(torch.float32)
    if _fits(values, out.dtype):
        out.copy_(values)
    else:
        _convert_rest(values, out, path, rounding.overflow)
    if rounding.underflow == "allow":
        return 0
    return _n_zeroed(values, out, path, rounding.underflow)


def convert_loaded(values: torch.Tensor, out: torch.Tensor, path: str) -> None:
    """Convert stored ``values`` as `convert` does; the error says how to open them."""
    try:
        convert(values.reshape(-1), out.view(-1), path)
    except PrecisionError as error:
        raise PrecisionError(
            error.path,
            error.value,
            error.dtype,
            "Open the record with dtype='stored', or with a dtype of a wider range.",
        ) from None


def _fits(values: torch.Tensor, dtype: torch.dtype) -> bool:
    """Return whether the range of ``values`` shows that ``dtype`` can hold them all."""
    if not values.numel():
        return True
    most = torch.finfo(dtype).max
    if dtype in _WITH_INFINITY and torch.finfo(values.dtype).max <= most:
        return True
    low, high = map(float, torch.aminmax(values))
    # A NaN hides the others, and compares as False.
    return (low > 0 if dtype in _POSITIVE else -most <= low) and high <= most


def _convert_rest(
    values: torch.Tensor, out: torch.Tensor, path: str, overflow: Overflow
) -> None:
    """Convert value by value, where some may not fit."""
    is_double = values.dtype is torch.float64
    wide = values.to(out.device, torch.float64 if is_double else torch.float32)
    limits, middle = torch.finfo(out.dtype), _above_largest(out.dtype)
    # Torch casts doubles through float32, where a value that should be rounded down may
    # be rounded up.
    clamped = torch.where(
        wide.abs() < middle, wide.clamp(-limits.max, limits.max), wide
    )
    out.copy_(clamped)
    misfits = _misfits(wide, out, middle)
    if not misfits.any():
        return
    if overflow == "error":
        raise PrecisionError(
            path,
            float(wide[misfits][0]),
            name_of_dtype(out.dtype),
            "Save with precision='bfloat16', which has the range of float32, "
            f"keep this entry (Precision(param=..., keep=[{path!r}])), or choose "
            "how to store such values with overflow='saturate' or 'allow'.",
        )
    # A cast of such values differs between dtypes, and between versions of torch.
    if overflow == "saturate":
        least = limits.tiny if out.dtype in _POSITIVE else limits.min
        substitutes = wide.clamp(least, limits.max)
    elif out.dtype in _WITH_INFINITY:
        substitutes = torch.full_like(wide, math.inf).copysign(wide)
    else:
        substitutes = torch.full_like(wide, math.nan)
    out.copy_(torch.where(misfits, substitutes, clamped))


def _misfits(wide: torch.Tensor, out: torch.Tensor, middle: float) -> torch.Tensor:
    """Return which values ``out`` cannot hold, though a cast has written something."""
    size = wide.abs()
    # Half-way to the next value, the last bit of the fraction decides.
    beyond = (size > middle) | ((size == middle) & ~_comparable(out).isfinite())
    misfits = wide.isfinite() & beyond
    if out.dtype not in _WITH_INFINITY:
        misfits |= wide.isinf()
    if out.dtype in _POSITIVE:
        misfits |= wide <= 0
    return misfits


def _above_largest(dtype: torch.dtype) -> float:
    """Return the middle between the largest value and the next that there would be."""
    most = torch.finfo(dtype).max
    # Not from finfo's eps, which is another dtype's for some.
    step: float = 2.0 ** (math.frexp(most)[1] - 1 - _FRACTION_BITS[dtype])
    return most + step / 2


def _n_zeroed(
    values: torch.Tensor, out: torch.Tensor, path: str, underflow: Underflow
) -> int:
    zeroed = (_comparable(out) == 0) & (values.to(out.device) != 0)
    count = int(zeroed.sum())
    if count and underflow == "error":
        raise PrecisionError(
            path,
            float(values.to(out.device)[zeroed][0]),
            name_of_dtype(out.dtype),
            "It would become 0. Store these values in a dtype with a wider "
            "range (bfloat16, float32), or allow it with "
            "Precision(underflow='allow').",
        )
    return count


def _comparable(values: torch.Tensor) -> torch.Tensor:
    """Return ``values`` in a dtype that can be compared."""
    return values.to(torch.float32) if values.dtype.itemsize == 1 else values


def _dtypes(names: str) -> frozenset[torch.dtype]:
    return frozenset(BY_NAME[name] for name in names.split() if name in BY_NAME)


_WITH_INFINITY = _dtypes("float64 float32 float16 bfloat16 float8_e5m2")
_POSITIVE = _dtypes("float8_e8m0fnu")
"""Dtypes of exponents alone: no sign, and no zero."""

_FRACTION_BITS = {
    dtype: bits
    for names, bits in (
        ("float64", 52),
        ("float32", 23),
        ("float16", 10),
        ("bfloat16", 7),
        ("float8_e4m3fn float8_e4m3fnuz", 3),
        ("float8_e5m2 float8_e5m2fnuz", 2),
        ("float8_e8m0fnu", 0),
    )
    for dtype in _dtypes(names)
}
