"""The distance between the values of two tensors, read side by side in pieces."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import xxhash
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """The distance between two tensors of one shape; NaN and NaN are equal."""

    n_values: int
    n_changed: int
    """The number of values that are not equal; 0 and -0 are."""
    max_abs: float
    """The largest difference, of integers the exact one rounded once; infinity where
    only one is NaN or infinite."""
    max_rel: float
    """The largest difference relative to the larger of its two values: 0 to 2."""
    moved: float
    """The norm of the difference by that of the first tensor; infinity where only one
    value is NaN or infinite."""
    norm: float
    """Norm of the first tensor's finite values."""
    norm_of_change: float
    """Norm of the difference; infinity where only one value is NaN or infinite."""
    cosine: float | None
    """Cosine of the angle between both, of finite values; None if one is zero."""
    is_close: bool
    """Whether every difference is at most ``atol + rtol * abs(second)``."""

    @property
    def changed_share(self) -> float:
        """The fraction of values that changed, 0 to 1."""
        return self.n_changed / self.n_values if self.n_values else 0.0


def distance_of(
    a: Iterable[Tensor], b: Iterable[Tensor], *, rtol: float = 0.0, atol: float = 0.0
) -> Distance:
    """Return the distance between two sequences of flat blocks of equal total length.

    ``rtol`` and ``atol`` decide what is close, as in ``torch.isclose``.
    """
    sums = _Sums(rtol, atol)
    for block_a, block_b in aligned(a, b):
        sums.add(block_a, block_b)
    return sums.result()


def distance_of_whole(
    a: Tensor, b: Tensor, *, rtol: float = 0.0, atol: float = 0.0
) -> Distance:
    """Return the distance between two flat tensors, as `distance_of` their blocks."""
    squares = _squares_of_equal(a, b)
    if squares is not None:
        # Nearly all of hundreds of thousands are of this kind, and sums of each are
        # slow.
        return _equal(a.numel(), squares)
    sums = _Sums(rtol, atol)
    if a.numel():
        sums.add(a, b)
    return sums.result()


def _squares_of_equal(a: Tensor, b: Tensor) -> float | None:
    """Return the sum of squares of equal values, the usual case.

    None if they differ, or if the sum of their squares is not finite.
    """
    if a.dtype is not b.dtype or not torch.equal(_comparable(a), _comparable(b)):
        return None
    x = _wide(a)
    squares = _product(x, x)
    is_safe = _is_safe(squares) or (squares == 0 and not x.any())
    return squares if is_safe else None


def _equal(n_values: int, squares: float) -> Distance:
    return Distance(
        n_values=n_values,
        n_changed=0,
        max_abs=0.0,
        max_rel=0.0,
        moved=0.0,
        norm=math.sqrt(squares),
        norm_of_change=0.0,
        cosine=1.0 if squares else None,
        is_close=True,
    )


def aligned(
    a: Iterable[Tensor], b: Iterable[Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pieces of both of the same length; their blocks may have any."""
    ends = torch.empty(0), torch.empty(0)
    block_a, block_b = ends
    blocks_a, blocks_b = iter(a), iter(b)
    while True:
        block_a = block_a if block_a.numel() else next(blocks_a, ends[0])
        block_b = block_b if block_b.numel() else next(blocks_b, ends[1])
        n = min(block_a.numel(), block_b.numel())
        if not n:
            # Both are read to their ends, where their checksums are compared.
            for _ in (*blocks_a, *blocks_b):
                pass
            return
        yield block_a[:n], block_b[:n]
        block_a, block_b = block_a[n:], block_b[n:]


def content_sum(blocks: Iterable[Tensor]) -> bytes:
    """Return a checksum of the values' bytes, equal for equal tensors of one dtype."""
    total = xxhash.xxh3_128()
    for block in blocks:
        data: Any = block.contiguous().view(torch.uint8).numpy()
        total.update(data)
    return total.digest()


def _are_different(x: Tensor, y: Tensor) -> Tensor:
    """Return which values differ, where NaN equals NaN, part by part."""
    if x.is_complex():
        # A complex number with a NaN in one part is NaN as a whole, too.
        return _are_different(x.real, y.real) | _are_different(x.imag, y.imag)
    return (x != y) & ~(x.isnan() & y.isnan())


class _Sums:
    def __init__(self, rtol: float, atol: float) -> None:
        self.rtol, self.atol = rtol, atol
        self.n_values = self.n_changed = 0
        self.max_abs = self.max_rel = 0.0
        self.dot, self.squares_a, self.squares_b = _Sum(), _Sum(), _Sum()
        self.squares_of_change = _Sum()
        self.is_close = True
        self.is_finite = True

    def add(self, a: Tensor, b: Tensor) -> None:
        self.n_values += a.numel()
        squares = _squares_of_equal(a, b)
        if squares is not None:
            for total in (self.dot, self.squares_a, self.squares_b):
                total.add(squares)
            return
        x, y = _wide(a), _wide(b)
        if x.dtype is not y.dtype:
            x, y = x.to(torch.complex128), y.to(torch.complex128)
        change = _difference(a, b)
        is_changed = _are_different(x, y) | (change.isfinite() & (change != 0))
        self._add_sums(x, y, change)
        n_changed = int(is_changed.sum())
        if n_changed:
            self.n_changed += n_changed
            self._add_changed(x[is_changed], y[is_changed], change[is_changed])

    def _add_sums(self, x: Tensor, y: Tensor, change: Tensor) -> None:
        is_finite = x.isfinite() & y.isfinite()
        if not is_finite.all():
            x, y, change = x[is_finite], y[is_finite], change[is_finite]
        x, squares_a, of_x = _with_squares(x)
        y, squares_b, of_y = _with_squares(y)
        self.dot.add(_product(x, y), of_x + of_y)
        self.squares_a.add(squares_a, 2 * of_x)
        self.squares_b.add(squares_b, 2 * of_y)
        exponent = 0
        if (of_x or of_y) and not change.isfinite().all():
            exponent = max(of_x, of_y)
            change = shifted(y, of_y - exponent) - shifted(x, of_x - exponent)
        change, squares_of_change, of_change = _with_squares(change)
        self.squares_of_change.add(squares_of_change, 2 * (exponent + of_change))

    def _add_changed(self, x: Tensor, y: Tensor, change: Tensor) -> None:
        self.is_finite = self.is_finite and bool((x.isfinite() & y.isfinite()).all())
        size = change.abs().nan_to_num(math.inf, posinf=math.inf)
        larger = torch.maximum(x.abs().nan_to_num(0), y.abs().nan_to_num(0))
        ratio = (size / larger).nan_to_num(2.0, posinf=2.0).clamp(max=2.0)
        self.max_abs = max(self.max_abs, float(size.max()))
        self.max_rel = max(self.max_rel, float(ratio.max()))
        limit = self.atol + self.rtol * y.abs().nan_to_num(0, posinf=0)
        self.is_close = self.is_close and bool((size <= limit).all())

    def result(self) -> Distance:
        # A value that became NaN or infinite is far away, though no sum includes it.
        is_far = not self.is_finite
        norm, change = self.squares_a.root(), self.squares_of_change.root()
        lengths = norm.times(self.squares_b.root())
        return Distance(
            n_values=self.n_values,
            n_changed=self.n_changed,
            max_abs=self.max_abs,
            max_rel=self.max_rel,
            moved=math.inf if is_far else _relative_change(change, norm),
            norm=float(norm),
            norm_of_change=math.inf if is_far else float(change),
            cosine=(
                max(-1.0, min(1.0, self.dot.by(lengths))) if lengths.value else None
            ),
            is_close=self.is_close,
        )


@dataclass(slots=True)
class _Sum:
    """A number ``value * 2**exponent``, possibly beyond float64; for sums of it."""

    value: float = 0.0
    exponent: int = 0

    def add(self, value: float, exponent: int = 0) -> None:
        if not value:
            return
        top = max(exponent, self.exponent) if self.value else exponent
        self.value = math.ldexp(self.value, self.exponent - top)
        self.value += math.ldexp(value, exponent - top)
        self.exponent = top

    def root(self) -> "_Sum":
        """Return the square root; exponents of squares are even."""
        return _Sum(math.sqrt(self.value), self.exponent // 2)

    def times(self, factor: "_Sum") -> "_Sum":
        return _Sum(self.value * factor.value, self.exponent + factor.exponent)

    def by(self, divisor: "_Sum") -> float:
        """Return this divided by a number other than zero."""
        return float(_Sum(self.value / divisor.value, self.exponent - divisor.exponent))

    def __float__(self) -> float:
        return ldexp_or_inf(self.value, self.exponent)


def ldexp_or_inf(value: float, exponent: int) -> float:
    """Return ``value * 2**exponent``, infinite if that is beyond float64."""
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.copysign(math.inf, value)


def _relative_change(change: _Sum, norm: _Sum) -> float:
    if norm.value:
        return change.by(norm)
    return math.inf if change.value else 0.0


def _product(x: Tensor, y: Tensor) -> float:
    return float(torch.vdot(x, y).real)


def _is_safe(squares: float) -> bool:
    """Return whether a sum of squares is far from both ends of float64."""
    return 1e-200 < squares < 1e200


def _with_squares(values: Tensor) -> tuple[Tensor, float, int]:
    """Return finite values, the sum of their squares, and an exponent.

    If float64 cannot hold the squares the values are scaled by two to the exponent.
    """
    squares = _product(values, values)
    if _is_safe(squares) or not values.any():
        return values, squares, 0
    parts = torch.view_as_real(values) if values.is_complex() else values
    exponent = math.frexp(float(parts.abs().max()))[1]
    values = shifted(values, -exponent)
    return values, _product(values, values), exponent


def shifted(values: Tensor, exponent: int) -> Tensor:
    """Return ``values * 2**exponent``, in two steps, as the power may be too large."""
    half = exponent // 2
    return values * 2.0**half * 2.0 ** (exponent - half)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """Return ``b - a``, rounded once: integers beyond 2**53 are no single float64."""
    (near_a, rest_a), (near_b, rest_b) = _with_rest(a), _with_rest(b)
    change = near_b - near_a
    if rest_a is None and rest_b is None:
        return change
    # The rounding error of the subtraction (Knuth's two-sum): beside -1 it is what
    # distinguishes it from -1.0000001. Infinities have none.
    part_a = change - near_b
    lost = (near_b - (change - part_a)) - (near_a + part_a)
    lost = torch.where(lost.isfinite(), lost, 0)
    tails = (0 if rest_b is None else rest_b) - (0 if rest_a is None else rest_a)
    return change + (lost + tails)


def _with_rest(values: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the nearest float64s, and their errors for integers, if possible."""
    if values.dtype not in (torch.int64, torch.uint64):
        return _wide(values), None
    bits = values.view(torch.int64)
    high = bits >> 32
    if values.dtype is torch.uint64:
        high &= 0xFFFFFFFF
    upper, lower = high.double() * 2.0**32, (bits & 0xFFFFFFFF).double()
    nearest = upper + lower
    return nearest, (upper - nearest) + lower


def _comparable(values: Tensor) -> Tensor:
    """Return the values as a dtype that torch can compare, equal where these are.

    As bits they differ in more cases: zeros of both signs are compared once more.
    """
    if values.dtype is torch.complex32:
        return values.view(torch.int32)
    return values.view(torch.uint8) if values.dtype.itemsize == 1 else values


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.complex128 if values.is_complex() else torch.float64)
