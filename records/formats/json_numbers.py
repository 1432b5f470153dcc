"""Numbers as JSON text, exactly: they are read back bit for bit.

Floats are written with the fewest digits that restore them as float32 (float64 for
float64), which is exact for every narrower dtype too. Values without a JSON number are
strings: "inf", "-inf", "nan", and "nan:7fc00001" for a NaN with unusual bits.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import torch

from ...config.short_text import with_article
from ..tensors.dtypes import NAME_OF

LINE = 1 << 16
"""Maximal number of values in a line."""

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_NAN = re.compile("nan:[0-9a-f]+")
_MINUS_ZERO = re.compile(rb"-0(?![.eE0-9])")


def real_numbers(values: torch.Tensor) -> torch.Tensor:
    """Return complex values as alternating real and imaginary parts.

    Other tensors come back unchanged.
    """
    return torch.view_as_real(values).view(-1) if values.is_complex() else values


def text_of_numbers(values: torch.Tensor) -> bytes:
    """Return the flat, real ``values`` as JSON numbers separated by commas."""
    if not values.dtype.is_floating_point:
        return _dumps(values)
    wide_values = _wide(values)
    text = _dumps(wide_values)
    is_odd = ~wide_values.isfinite()
    if not is_odd.any():
        return text
    pieces = text.split(b"null")
    joined = [pieces[0]]
    # By their bits, since older versions of torch cannot index values of 8 bits.
    raw = values.view(_BITS[values.itemsize])[is_odd]
    names = _names(raw, wide_values[is_odd], values.dtype)
    for name, piece in zip(names, pieces[1:], strict=True):
        joined += (name, piece)
    return b"".join(joined)


def numbers_of(text: bytes, dtype: torch.dtype) -> torch.Tensor:
    """Return the real numbers in ``text`` as ``dtype``; ValueError if they are none."""
    # JSON's -0 is an integer to most parsers, and loses its sign.
    if b"-0" in text and dtype.is_floating_point:
        text = _MINUS_ZERO.sub(b"-0.0", text)
    numbers: Any = orjson.loads(b"[%b]" % text)
    types = set(map(type, numbers))
    if dtype is torch.bool:
        _check_types(types, {bool}, "true or false")
        return torch.tensor(numbers, dtype=dtype)
    if not dtype.is_floating_point:
        _check_types(types, {int}, "an integer")
        return _integers(numbers, dtype)
    named_at = (
        [i for i, x in enumerate(numbers) if type(x) is str] if str in types else []
    )
    bits = [_bits_of(numbers[i], dtype) for i in named_at]
    for i in named_at:
        numbers[i] = 0.0
    _check_types(types, {int, float, str}, "a number")
    values = torch.from_numpy(np.array(numbers, np.float64)).to(dtype)
    if not bool(_wide(values).isfinite().all()):
        raise ValueError(f"a number too large for {NAME_OF[dtype]}")
    if named_at:
        array: Any = np.array(bits, np.uint64).astype(f"u{dtype.itemsize}")
        raw = torch.from_numpy(array).view(_BITS[dtype.itemsize])
        values.view(raw.dtype)[torch.tensor(named_at)] = raw
    return values


def _integers(integers: list[int], dtype: torch.dtype) -> torch.Tensor:
    least, most = torch.iinfo(dtype).min, torch.iinfo(dtype).max
    if integers and not least <= min(integers) <= max(integers) <= most:
        raise ValueError(f"an integer that is not {with_article(NAME_OF[dtype])}")
    return torch.from_numpy(np.array(integers, NAME_OF[dtype]))


def _check_types(types: set[type], allowed: set[type], expected: str) -> None:
    if not types <= allowed:
        stray = (types - allowed).pop().__name__
        raise ValueError(f"found {stray}, expected {expected}")


def _names(
    raw: torch.Tensor, wide: torch.Tensor, dtype: torch.dtype
) -> Iterator[bytes]:
    """Return the name of each value, none of them finite, from its ``raw`` bits."""
    digits, usual = 2 * dtype.itemsize, _bits_of("nan", dtype)
    for bits, value in zip(raw.tolist(), wide.tolist(), strict=True):
        bits &= (1 << 4 * digits) - 1
        if value == value:
            yield b'"inf"' if value > 0 else b'"-inf"'
        else:
            yield b'"nan"' if bits == usual else b'"nan:%0*x"' % (digits, bits)


def _bits_of(name: str, dtype: torch.dtype) -> int:
    """Return the bits of the value called ``name``; ValueError if there is none."""
    if name in ("nan", "inf", "-inf"):
        value = torch.tensor(float(name)).to(dtype)
        wide = _wide(value)
        if wide.isnan() if name == "nan" else wide.isinf():
            return _unsigned(value)
    elif _NAN.fullmatch(name) and len(name) == 4 + 2 * dtype.itemsize:
        bits = int(name[4:], 16)
        raw = torch.frombuffer(
            bytearray(bits.to_bytes(dtype.itemsize, "little")), dtype=dtype
        )
        if _wide(raw).isnan():
            return bits
    raise ValueError(f"{name!r:.40}, which is not {with_article(NAME_OF[dtype])} value")


def _unsigned(value: torch.Tensor) -> int:
    bits = int(value.view(_BITS[value.itemsize]))
    return bits & (1 << 8 * value.itemsize) - 1


def _wide(values: torch.Tensor) -> torch.Tensor:
    """Return floats as a dtype that supports `isfinite`, exactly."""
    return values if values.dtype is torch.float64 else values.to(torch.float32)


def _dumps(values: torch.Tensor) -> bytes:
    array: Any = np.ascontiguousarray(values.detach().numpy())
    return orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
