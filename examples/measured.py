"""One line of the tables of digits.py and gpt2.py, and how it is measured."""

import ctypes
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from burnish.records.precision import NAMED

T = TypeVar("T")

_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of malloc.h."""

Precision: TypeAlias = Literal["full", "half", "bfloat16", "double"] | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call took."""

    seconds: float
    memory: int
    """Most bytes that it added to the process at any time, mapped files included."""
    own: int
    """Bytes that it left in the process, mapped files not included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A module that was saved one way and loaded back."""

    format: str
    precision: Precision
    size: int
    """Bytes."""
    save: Cost
    load: Cost
    difference: float
    """Largest between a weight before and after."""
    allowed: float
    """Largest difference that the precision explains."""
    score: float
    """Share of right answers of the loaded module."""
    promises: str = ""
    """What a save and a load do besides moving the values; empty in a table without."""

    def problems(self, *, least: float) -> list[str]:
        """Return what was lost beyond what the precision and ``least`` explain."""
        name = f"{self.format} at {self.precision or 'the precision of the module'}"
        found: list[str] = []
        if not self.difference <= self.allowed:
            found.append(
                f"{name}: a weight is off by {self.difference:.3g}, "
                f"expected at most {self.allowed:.3g}"
            )
        if not self.score >= least:
            found.append(f"{name}: {self.score:.2%} right, expected {least:.2%}")
        return found


def return_freed_memory() -> None:
    """Have blocks from 256 KiB on go back to the system as soon as they are freed.

    Else the allocator keeps what one measurement frees, and the next one uses it.
    """
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 1 << 18)


def measure(call: Callable[[], T]) -> tuple[T, Cost]:
    """Return what ``call`` returns, and what it took."""
    ctypes.CDLL(None).malloc_trim(0)
    # From here on the kernel counts the peak anew.
    Path("/proc/self/clear_refs").write_text("5")
    resident, own = _memory("VmRSS"), _memory("RssAnon")
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    peak, kept = _memory("VmHWM") - resident, _memory("RssAnon") - own
    return result, Cost(seconds, max(0, peak), max(0, kept))


def largest_difference(module: nn.Module, other: nn.Module) -> float:
    """Return the largest difference between values of the same name."""
    values, others = module.state_dict(), other.state_dict()
    if values.keys() != others.keys():
        raise ValueError(f"other names: {sorted(values.keys() ^ others.keys())}")
    return max(float((values[path] - others[path]).abs().max()) for path in values)


def allowed_difference(module: nn.Module, precision: Precision) -> float:
    """Return what rounding to ``precision`` may change of the largest parameter."""
    if precision is None:
        return 0.0
    stored = torch.finfo(NAMED[precision])
    if stored.eps <= torch.finfo(torch.float32).eps:
        return 0.0
    largest = max(float(p.detach().abs().max()) for p in module.parameters())
    return largest * stored.eps / 2


def show(title: str, rows: Sequence[Measured], *, score: str, memory: bool) -> None:
    """Print the rows as one table, a line under each format."""
    names = ["size", "save,\nms", "load,\nms", "largest\ndifference", score]
    if memory:
        names += ["memory\nto save", "memory\nto load", "memory\nto hold"]
    if any(row.promises for row in rows):
        names.append("the disk\nand damage")
    table = Table(title=title, title_justify="left")
    for name in ("format", "precision"):
        table.add_column(name, no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        is_last = following is not None and following.format != row.format
        table.add_row(*_cells(row, memory=memory), end_section=is_last)
    console = Console()
    # A line that the terminal breaks is easier to read than cells without their ends.
    console.width = max(console.width, 160)
    console.print(table)


def _cells(row: Measured, *, memory: bool) -> list[str]:
    cells = [
        row.format,
        row.precision or "as it is",
        _size(row.size),
        f"{row.save.seconds * 1e3:,.1f}",
        f"{row.load.seconds * 1e3:,.1f}",
        f"{row.difference:.1e}" if row.difference else "0",
        f"{row.score:.2%}",
    ]
    if memory:
        cells += map(_size, (row.save.memory, row.load.memory, row.load.own))
    return [*cells, row.promises] if row.promises else cells


def _size(count: int) -> str:
    kib = count / 1024
    return f"{kib:.3g} KiB" if kib < 1024 else f"{kib / 1024:.3g} MiB"


def _memory(key: str) -> int:
    """Return a line of the process's status, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"{key}:\s+(\d+)", status)
    return int(found[1]) * 1024 if found else 0
