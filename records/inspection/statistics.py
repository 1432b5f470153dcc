"""Statistics of one tensor's values, computed piece by piece."""

import dataclasses
import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .comparison import ldexp_or_inf, shifted


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorStats:
    """Statistics of a tensor's values; for complex ones, of their absolute values."""

    n_values: int
    mean: float | None
    """Of the finite values, as are ``std``, ``min`` and ``max``; None without any."""
    std: float | None
    """As ``Tensor.std``, with n - 1; 0 for a single value."""
    min: float | None
    """Exact, as is ``max``: an int if no float equals it."""
    max: float | None
    n_zeros: int
    n_nan: int
    n_inf: int

    @property
    def is_dead(self) -> bool:
        """Whether there are several values, all equal and finite."""
        # NaN and infinities are values too, which the extremes leave out.
        is_finite = not (self.n_nan or self.n_inf)
        return is_finite and self.n_values > 1 and self.min == self.max


class StatsTable(Mapping[str, TensorStats]):
    """The statistics of many tensors by path, created when they are accessed.

    A row takes half the memory of its objects, of which a file may have 200,000. Rows
    are found by the hashes of paths, which take a quarter of a dict's memory.
    """

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._counts, self._values = array("q"), array("d")
        self._hashes, self._order = array("q"), array("q")
        """Hashes of the paths, sorted, with their numbers; from the first lookup."""
        self._large_ints: dict[int, Mapping[str, int]] = {}
        """Extremes that are not floats, by the number of the row."""

    def add(self, path: str, stats: TensorStats) -> None:
        """Add the statistics of a tensor."""
        ints = {k: x for k in ("min", "max") if isinstance(x := getattr(stats, k), int)}
        if ints:
            self._large_ints[len(self._paths)] = ints
        self._paths.append(path)
        self._counts.extend(getattr(stats, name) for name in _COUNTS)
        values = (getattr(stats, name) for name in _VALUES)
        # If there are no finite values, the counts show it.
        self._values.extend(math.nan if x is None else x for x in values)

    def __getitem__(self, path: str) -> TensorStats:
        number = self._number_of(path)
        i = len(_COUNTS) * number
        n_values, n_zeros, n_nan, n_inf = self._counts[i : i + len(_COUNTS)]
        has_values = n_values > n_nan + n_inf
        mean, std, least, largest = self._values[i : i + len(_VALUES)]
        stats = TensorStats(
            n_values=n_values,
            mean=mean if has_values else None,
            std=std if has_values else None,
            min=least if has_values else None,
            max=largest if has_values else None,
            n_zeros=n_zeros,
            n_nan=n_nan,
            n_inf=n_inf,
        )
        return dataclasses.replace(stats, **self._large_ints.get(number, {}))

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def _number_of(self, path: str) -> int:
        if len(self._order) < len(self._paths):
            hashes = np.fromiter(map(hash, self._paths), np.int64, len(self._paths))
            order = np.argsort(hashes)
            self._hashes = array("q", hashes[order].tobytes())
            self._order = array("q", order.tobytes())
        path_hash = hash(path)
        for place in range(bisect_left(self._hashes, path_hash), len(self._hashes)):
            number = self._order[place]
            if self._paths[number] == path:
                return number
            if self._hashes[place] != path_hash:
                break
        raise KeyError(path)


_COUNTS = ("n_values", "n_zeros", "n_nan", "n_inf")
_VALUES = ("mean", "std", "min", "max")


def stats_of(blocks: Iterable[Tensor]) -> TensorStats:
    """Return the statistics of the values in ``blocks``, flat tensors of one dtype."""
    moments = _Moments()
    for block in blocks:
        moments.add(block)
    return moments.result()


class _Moments:
    """Counts, extremes and sums of squares, updated by blocks.

    The mean and the squares are those of the values scaled by two to an exponent, which
    is not 0 if their squares would be beyond float64.
    """

    def __init__(self) -> None:
        self.n_values = self.n_finite = self.n_zeros = self.n_nan = self.n_inf = 0
        self.mean = self.squares = 0.0
        self.exponent: int | None = None
        self.least: float = math.inf
        self.largest: float = -math.inf

    def add(self, block: Tensor) -> None:
        values = _as_float64(block)
        self.n_values += values.numel()
        self.n_zeros += int((values == 0).sum())
        is_finite = values.isfinite()
        if not is_finite.all():
            n_nan = int(values.isnan().sum())
            self.n_nan += n_nan
            values = values[is_finite]
            self.n_inf += block.numel() - values.numel() - n_nan
        if values.numel():
            self._add_extremes(block, values)
            self._add_finite(self._scaled(values))

    def _scaled(self, values: Tensor) -> Tensor:
        """Return values as they are summed, and rescale those sums."""
        exponent = math.frexp(max(abs(self.least), abs(self.largest)))[1]
        exponent = exponent if abs(exponent) > _SAFE_EXPONENT else 0
        if exponent != self.exponent:
            # So far all values were zero, or smaller than these.
            cut = 0 if self.exponent is None else self.exponent - exponent
            self.mean = math.ldexp(self.mean, cut)
            self.squares = math.ldexp(self.squares, 2 * cut)
            self.exponent = exponent
        return shifted(values, -exponent) if exponent else values

    def _add_finite(self, values: Tensor) -> None:
        n, before = values.numel(), self.n_finite
        mean = float(values.mean())
        # Sums of two groups are combined by the distance of their means, which keeps
        # digits that a sum of squares would lose (Chan et al., 1979).
        distance = mean - self.mean
        self.n_finite = before + n
        self.squares += float((values - mean).square().sum())
        self.squares += distance * distance * before * n / self.n_finite
        self.mean += distance * n / self.n_finite

    def _add_extremes(self, block: Tensor, values: Tensor) -> None:
        """Add the extremes of the finite ``values``; for integers of the block."""
        if block.dtype in _INTEGERS_BEYOND_FLOATS:
            integers = block.detach().numpy()
            ends = map(int, (integers.min(), integers.max()))
            least, largest = (x if float(x) != x else float(x) for x in ends)
        else:
            least, largest = float(values.min()), float(values.max())
        self.least = min(self.least, least)
        self.largest = max(self.largest, largest)

    def result(self) -> TensorStats:
        has_values = self.n_finite > 0
        deviation = math.sqrt(self.squares / max(1, self.n_finite - 1))
        exponent = self.exponent or 0
        return TensorStats(
            n_values=self.n_values,
            mean=ldexp_or_inf(self.mean, exponent) if has_values else None,
            std=ldexp_or_inf(deviation, exponent) if has_values else None,
            min=self.least if has_values else None,
            max=self.largest if has_values else None,
            n_zeros=self.n_zeros,
            n_nan=self.n_nan,
            n_inf=self.n_inf,
        )


_SAFE_EXPONENT = 400
"""Squares of values below two to this have a finite sum, however many there are."""

_INTEGERS_BEYOND_FLOATS = (torch.int64, torch.uint64)
"""Dtypes with integers that no float64 equals."""


def _as_float64(block: Tensor) -> Tensor:
    if block.is_complex():
        # In torch, complex32 has no absolute value.
        return block.to(torch.complex128).abs()
    return block.to(torch.float64)
