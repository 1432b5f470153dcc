"""The page of a record: a map of sizes, a histogram per tensor, anomalies."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from ...config.printable import printable, printable_name
from ...config.short_text import quantity
from ...records.entries.entry import Entry
from ...records.entries.show import shape_text
from ...records.inspection.histogram import Histogram, Spread
from ...records.inspection.oddities import RULES, Oddity, bulk_of, oddities_of
from ...records.inspection.read_ahead import read_ahead
from ...records.inspection.statistics import TensorStats, stats_of
from ...records.io.progress import Progress, Tally
from ...records.tensors.dtypes import name_of_dtype
from ..inspection.part_view import PartView
from .page import page_number, page_text

_MOST = 4000
"""Maximal tensors drawn, the largest ones; further anomalies are listed."""

_MOST_ODD = 500

_N_BINS = 48
_LONGEST_NAME = 400

_GRAVE = {"NaN", "infinite", "dead", "outliers"}
_NOTES = {"constant"}


def record_page(
    title: str,
    views: Sequence[PartView],
    lines: Sequence[str],
    progress: Progress | None = None,
) -> str:
    """Return the page of all tensors in ``views``, each read once, in pieces.

    ``lines`` are shown above them. Raises the errors of reading.
    """
    entries = [
        (_name(view, entry), entry)
        for view in views
        for entry in view.entries
        if entry.kind != "extra"
    ]
    rows, n_hidden = _rows(entries, Tally(progress, (e.nbytes for _, e in entries)))
    sizes = sum((view.nbytes_by_dtype() for view in views), Counter[str]())
    content = {
        "lines": [printable(line) for line in lines],
        "nTensors": len(entries),
        "nValues": sum(leaf.n_values for view in views for leaf in view.leaves()),
        "nBytes": sum(sizes.values()),
        "dtypes": ", ".join(dtype for dtype, _ in sizes.most_common(3)),
        "nMarkedHidden": n_hidden,
        "tensors": rows,
        "rules": [*RULES.items()],
        "note": _note(len(rows), len(entries), n_hidden),
    }
    return page_text("record", printable(title), content)


def _name(view: PartView, entry: Entry) -> str:
    path = f"{view.part.name}.{entry.path}" if view.part.name else entry.path
    name = printable_name(path)
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME // 2]}...{name[-_LONGEST_NAME // 2 :]}"


def _note(n_drawn: int, n_tensors: int, n_hidden: int) -> str:
    if n_drawn == n_tensors:
        return ""
    tensors = quantity(n_tensors, "tensor")
    text = f"{n_drawn:,} of {tensors} are on this page, the largest ones"
    hidden = f"; {n_hidden:,} more stand out" if n_hidden else ""
    return f"{text} and those that stand out{hidden}. Name a PATTERN to see others."


def _rows(
    entries: Sequence[tuple[str, Entry]], tally: Tally
) -> tuple[list[dict[str, Any]], int]:
    """Return the drawings of the tensors, and the number of omitted anomalies."""
    is_drawn = _largest(entries)
    rows: list[dict[str, Any]] = []
    n_odd = n_hidden = 0
    rows_to_read = read_ahead((entry,) for _, entry in entries)
    for i, ((name, _), (entry,)) in enumerate(zip(entries, rows_to_read, strict=True)):
        stats, spread = _read(entry, tally)
        oddities = oddities_of(
            stats, spread, entry.shape, is_floating=entry.dtype.is_floating_point
        )
        is_odd = any(oddity.kind not in _NOTES for oddity in oddities)
        if i not in is_drawn and is_odd:
            n_odd += 1
            n_hidden += n_odd > _MOST_ODD
        if i in is_drawn or (is_odd and n_odd <= _MOST_ODD):
            rows.append(_row(name, entry, stats, spread, oddities))
    return rows, n_hidden


def _largest(entries: Sequence[tuple[str, Entry]]) -> set[int]:
    """Return the indices of the tensors that are drawn whatever their values."""
    order = sorted(range(len(entries)), key=lambda i: -entries[i][1].nbytes)
    return set(order[:_MOST])


def _read(entry: Entry, tally: Tally) -> tuple[TensorStats, Spread | None]:
    histogram = Histogram()
    watchers = (histogram.add, lambda block: tally.add(block.nbytes, entry.path))
    stats = stats_of(_watched(entry.blocks(), watchers))
    return stats, histogram.spread()


def _watched(
    blocks: Iterator[Tensor], watchers: Sequence[Callable[[Tensor], object]]
) -> Iterator[Tensor]:
    for block in blocks:
        yield block
        for watch in watchers:
            watch(block)


def _row(
    name: str,
    entry: Entry,
    stats: TensorStats,
    spread: Spread | None,
    oddities: Sequence[Oddity],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name,
        "shape": shape_text(entry.shape),
        "dtype": name_of_dtype(entry.dtype),
        "n": stats.n_values,
        "bytes": entry.nbytes,
        **{key: _number(getattr(stats, key)) for key in ("mean", "std", "min", "max")},
        "zeros": stats.n_zeros,
    }
    if oddities:
        row["odd"] = [_oddity(oddity) for oddity in oddities]
    return row | _picture(stats, spread)


def _oddity(oddity: Oddity) -> dict[str, Any]:
    return {
        "kind": oddity.kind,
        "text": oddity.text,
        "isGrave": oddity.kind in _GRAVE,
        "isNote": oddity.kind in _NOTES,
    }


def _picture(stats: TensorStats, spread: Spread | None) -> dict[str, Any]:
    """Return bars of 0 to 100 for the middle of the values, and the share outside."""
    if spread is None or stats.min is None or stats.max is None or stats.is_dead:
        return {}
    median, reach = bulk_of(spread)
    low, high = max(stats.min, median - 4 * reach), min(stats.max, median + 4 * reach)
    if not low < high:
        low, high = stats.min, stats.max
    if not low < high:
        return {}
    counts = spread.counts(low, high, _N_BINS)
    n_below, n_above = spread.n_below(low), spread.n_values - spread.n_below(high)
    # The limits are within buckets, whose values are counted inside.
    if low == stats.min:
        counts[0], n_below = counts[0] + n_below, 0
    if high == stats.max:
        counts[-1], n_above = counts[-1] + n_above, 0
    most = max(counts) or 1.0
    # Rare values are drawn one pixel high, to be visible.
    bins = [round(100 * n / most) or (3 if n >= 0.5 else 0) for n in counts]
    return {
        "bins": bins,
        "ends": [page_number(low, 4), page_number(high, 4)],
        "beyond": [round(n_below), round(n_above)],
    }


def _number(value: float | None) -> float | str | None:
    return None if value is None else page_number(value, 4)
