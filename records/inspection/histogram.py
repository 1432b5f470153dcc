"""Frequencies of values, in memory that is bounded for any number of values."""

from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

Array: TypeAlias = Any
"""A numpy array of numbers."""

_N_BUCKETS = 1 << 16
_MOST_FEW = 1 << 16
"""Number of values that are kept as they are."""

_N_SAMPLED = 100

_LARGEST = float(torch.finfo(torch.float32).max)
_SMALLEST = float(torch.finfo(torch.float32).tiny)
"""Absolute values between both are distinguished."""


class Histogram:
    """Counts of finite values: of few each, of many by their first 16 bits as float32.

    Such a bucket is less than one percent wide, so that the bulk of the values is
    resolved however far away an outlier is. It takes 1 MiB at most.
    """

    def __init__(self) -> None:
        self._n_values = self._n_beyond = self._n_same = 0
        self._candidate: Tensor | None = None
        """The value that ``_n_same`` values are known to have."""
        self._few: list[Array] = []
        self._n_few = 0
        self._counts: Array | None = None

    def add(self, block: Tensor) -> None:
        """Count the values of a flat tensor; of complex ones, their absolute values."""
        values = block.to(torch.complex128).abs() if block.is_complex() else block
        values = values if values.dtype is torch.float64 else values.to(torch.float32)
        is_finite = values.isfinite()
        values = values if bool(is_finite.all()) else values[is_finite]
        self._n_values += values.numel()
        self._count_the_same(values)
        if values.dtype is torch.float64:
            # Values beyond float32 are counted at its ends.
            sizes = values.abs()
            is_tiny = (sizes < _SMALLEST) & (sizes > 0)
            self._n_beyond += int(((sizes > _LARGEST) | is_tiny).sum())
            values = values.clamp(-_LARGEST, _LARGEST)
        self._add_numbers(np.array(values.numpy()))

    def _count_the_same(self, values: Tensor) -> None:
        """Count the values that equal the most frequent one; too few, never too many.

        A bucket does not show it: its values are similar, not equal.
        """
        if self._candidate is not None:
            self._n_same += int((values == self._candidate).sum())
        if values.numel() and 2 * self._n_same < self._n_values:
            # A value of the majority is the median, nearly always of a sample as well.
            self._candidate = values[:: max(1, values.numel() // _N_SAMPLED)].median()
            self._n_same = int((values == self._candidate).sum())

    def _add_numbers(self, numbers: Array) -> None:
        if self._counts is None and self._n_few + len(numbers) <= _MOST_FEW:
            self._few.append(numbers)
            self._n_few += len(numbers)
            return
        counts: Array = self._counts
        if counts is None:
            counts = self._counts = np.zeros(_N_BUCKETS, np.int64)
        for part in (*self._few, numbers):
            bits = part.astype(np.float32, copy=False).view(np.uint32)
            counts += np.bincount(bits >> 16, minlength=_N_BUCKETS)
        self._few = []

    def spread(self) -> "Spread | None":
        """Return the counts, in the order of the values.

        None without values, and for those that float32 does not distinguish.
        """
        if self._n_beyond > 0.01 * self._n_values:
            return None
        if self._counts is not None:
            return self._spread_of_buckets(self._counts)
        if not self._n_few:
            return None
        values, counts = np.unique(np.concatenate(self._few), return_counts=True)
        numbers = values.astype(np.float64)
        return Spread(numbers, numbers, counts, self._n_same)

    def _spread_of_buckets(self, counts: Array) -> "Spread":
        half = _N_BUCKETS // 2
        # Of negative numbers those with the largest bits are the smallest.
        order: Array = np.concatenate(
            [np.arange(_N_BUCKETS - 1, half - 1, -1), np.arange(half)]
        )
        order = order[counts[order] > 0].astype(np.uint32)
        near, far = (
            (order << 16 | low_bits).view(np.float32) for low_bits in (0, 0xFFFF)
        )
        edges: Array = np.sort(np.stack([near, far]).astype(np.float64), axis=0)
        return Spread(edges[0], edges[1], counts[order], self._n_same)


class Spread:
    """Values in adjacent buckets, in order: the number of values below each."""

    def __init__(self, low: Array, high: Array, counts: Array, n_same: int) -> None:
        self.n_same = n_same
        """A lower bound for the number of equal values, if they are the majority."""
        self._low, self._high, self._counts = low, high, counts
        self._ends: Array = np.cumsum(counts)
        self.n_values = int(self._ends[-1])

    def value_at(self, n_below: float) -> float:
        """Return the value below which ``n_below`` of the values are."""
        i = int(np.searchsorted(self._ends, n_below))
        i = min(i, len(self._ends) - 1)
        share = 1 - (self._ends[i] - n_below) / self._counts[i]
        share = min(1.0, max(0.0, float(share)))
        return float(self._low[i] + share * (self._high[i] - self._low[i]))

    def n_below(self, value: float) -> float:
        """Return the number of smaller values, approximately within a bucket."""
        i = int(np.searchsorted(self._high, value))
        if i == len(self._ends):
            return float(self.n_values)
        n_before = float(self._ends[i] - self._counts[i])
        if self._low[i] >= value:
            return n_before
        width = self._high[i] - self._low[i]
        return n_before + float(self._counts[i] * (value - self._low[i]) / width)

    def counts(self, low: float, high: float, n_bins: int) -> list[float]:
        """Return the number of values in each of ``n_bins`` of equal width."""
        width = (high - low) / n_bins
        ends = [self.n_below(low + i * width) for i in range(n_bins)]
        ends.append(self.n_below(high))
        return [end - start for start, end in pairwise(ends)]
