"""How far the values of two tensors are apart, read side by side in pieces."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import xxhash
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """How far two tensors of one shape are apart; NaN and NaN are the same value."""

    n_values: int
    n_changed: int
    """How many values are not equal; 0 and -0 are."""
    max_abs: float
    """The largest difference; infinity where only one is NaN or infinite."""
    max_rel: float
    """The largest difference by the larger one of its two values: 0 to 2."""
    moved: float
    """The norm of the difference by that of the first tensor; infinity where only one
    value is NaN or infinite."""
    norm: float
    """Of the first tensor, its finite values."""
    norm_of_change: float
    """Of the difference; infinity where only one value is NaN or infinite."""
    cosine: float | None
    """Of the angle between both, of finite values; None where one of them is zero."""
    is_close: bool
    """Whether every difference is at most ``atol + rtol * abs(second)``."""

    @property
    def changed_share(self) -> float:
        """How many of the values changed, 0 to 1."""
        return self.n_changed / self.n_values if self.n_values else 0.0


def distance_of(
    a: Iterable[Tensor], b: Iterable[Tensor], *, rtol: float = 0.0, atol: float = 0.0
) -> Distance:
    """Return how far two sequences of flat blocks are apart, of equal length in all.

    ``rtol`` and ``atol`` decide what is close, as in ``torch.isclose``.
    """
    sums = _Sums(rtol, atol)
    for block_a, block_b in aligned(a, b):
        sums.add(block_a, block_b)
    return sums.result()


def distance_of_whole(
    a: Tensor, b: Tensor, *, rtol: float = 0.0, atol: float = 0.0
) -> Distance:
    """Return how far two flat tensors are apart, as `distance_of` of their blocks."""
    sums = _Sums(rtol, atol)
    if a.numel():
        sums.add(a, b)
    return sums.result()


def aligned(
    a: Iterable[Tensor], b: Iterable[Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pieces of both of the same length; their blocks may be of any."""
    ends = torch.empty(0), torch.empty(0)
    block_a, block_b = ends
    blocks_a, blocks_b = iter(a), iter(b)
    while True:
        block_a = block_a if block_a.numel() else next(blocks_a, ends[0])
        block_b = block_b if block_b.numel() else next(blocks_b, ends[1])
        n = min(block_a.numel(), block_b.numel())
        if not n:
            # Both are read to their ends, where their sums are compared.
            for _ in (*blocks_a, *blocks_b):
                pass
            return
        yield block_a[:n], block_b[:n]
        block_a, block_b = block_a[n:], block_b[n:]


def content_sum(blocks: Iterable[Tensor]) -> bytes:
    """Return a sum of the values' bytes, equal for equal tensors of one dtype."""
    total = xxhash.xxh3_128()
    for block in blocks:
        data: Any = block.contiguous().view(torch.uint8).numpy()
        total.update(data)
    return total.digest()


class _Sums:
    def __init__(self, rtol: float, atol: float) -> None:
        self.rtol, self.atol = rtol, atol
        self.n_values = self.n_changed = 0
        self.max_abs = self.max_rel = 0.0
        self.dot = self.squares_a = self.squares_b = self.squares_of_change = 0.0
        self.is_close = True

    def add(self, a: Tensor, b: Tensor) -> None:
        self.n_values += a.numel()
        if a.dtype is b.dtype and torch.equal(a, b) and self._add_equal(_wide(a)):
            return
        is_whole = not (a.is_floating_point() or a.is_complex())
        # Integers beyond 2**53 have no float64 of their own: compared as they are.
        is_exact = is_whole and a.dtype is b.dtype
        x, y = _wide(a), _wide(b)
        is_changed = a != b if is_exact else (x != y) & ~(x.isnan() & y.isnan())
        self._add_sums(x, y)
        n_changed = int(is_changed.sum())
        if n_changed:
            self.n_changed += n_changed
            self._add_changed(x[is_changed], y[is_changed])

    def _add_equal(self, x: Tensor) -> bool:
        """Count values that are equal; False where their squares have no finite sum.

        Nearly all tensors of a fine-tuned model are such, and may be many and small.
        """
        squares = float(torch.vdot(x, x).real)
        if not math.isfinite(squares):
            return False
        self.dot += squares
        self.squares_a += squares
        self.squares_b += squares
        return True

    def _add_sums(self, x: Tensor, y: Tensor) -> None:
        is_finite = x.isfinite() & y.isfinite()
        if not is_finite.all():
            x, y = x[is_finite], y[is_finite]
        self.dot += float(torch.vdot(x, y).real)
        self.squares_a += float(torch.vdot(x, x).real)
        self.squares_b += float(torch.vdot(y, y).real)
        change = y - x
        self.squares_of_change += float(torch.vdot(change, change).real)

    def _add_changed(self, x: Tensor, y: Tensor) -> None:
        change = (y - x).abs().nan_to_num(math.inf, posinf=math.inf)
        larger = torch.maximum(x.abs().nan_to_num(0), y.abs().nan_to_num(0))
        ratio = (change / larger).nan_to_num(2.0, posinf=2.0).clamp(max=2.0)
        self.max_abs = max(self.max_abs, float(change.max()))
        self.max_rel = max(self.max_rel, float(ratio.max()))
        limit = self.atol + self.rtol * y.abs().nan_to_num(0, posinf=0)
        self.is_close = self.is_close and bool((change <= limit).all())

    def result(self) -> Distance:
        norm = math.sqrt(self.squares_a)
        change = math.sqrt(self.squares_of_change)
        if math.isinf(self.max_abs):
            # What became NaN or infinite is far away, though no sum has it.
            change = math.inf
        lengths = norm * math.sqrt(self.squares_b)
        return Distance(
            n_values=self.n_values,
            n_changed=self.n_changed,
            max_abs=self.max_abs,
            max_rel=self.max_rel,
            moved=change / norm if norm else math.inf if change else 0.0,
            norm=norm,
            norm_of_change=change,
            cosine=max(-1.0, min(1.0, self.dot / lengths)) if lengths else None,
            is_close=self.is_close,
        )


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.complex128 if values.is_complex() else torch.float64)
