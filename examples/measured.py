"""One line of the tables of digits.py and gpt2.py, and how it is measured."""

import ctypes
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeAlias, TypeVar

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from burnish.records.precision import NAMED

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Precision: TypeAlias = Literal["full", "half", "bfloat16", "double"] | None


@dataclass(frozen=True, slots=True)
class Run(Generic[T_co]):
    """What a call returned, and what it took."""

    result: T_co
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
    save: Run[object]
    load: Run[nn.Module]
    difference: float
    """Largest between a weight before and after."""
    allowed: float
    """Largest difference that the precision explains."""
    score: float
    """Share of right answers of the loaded module."""

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


def run(call: Callable[[], T]) -> Run[T]:
    """Return what ``call`` returns, with its time and its peak of extra memory."""
    ctypes.CDLL(None).malloc_trim(0)
    # From here on the kernel counts the peak anew.
    Path("/proc/self/clear_refs").write_text("5")
    resident, own = _memory("VmRSS"), _memory("RssAnon")
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    peak, kept = _memory("VmHWM") - resident, _memory("RssAnon") - own
    return Run(result, seconds, max(0, peak), max(0, kept))


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
    names = ["size", "save, ms", "load, ms", "largest diff.", score]
    if memory:
        names += ["RAM to save", "to load", "to hold"]
    table = Table(title=title, title_justify="left")
    for name in ("format", "precision"):
        table.add_column(name, no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        is_last = following is not None and following.format != row.format
        table.add_row(*_cells(row, memory=memory), end_section=is_last)
    console = Console()
    console.width = max(console.width, 110)
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
    return cells


def _size(count: int) -> str:
    return (
        f"{count / 1024:,.1f} KiB"
        if count < 1 << 20
        else f"{count / (1 << 20):,.1f} MiB"
    )


def _memory(key: str) -> int:
    """Return a line of the process's status, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"{key}:\s+(\d+)", status)
    return int(found[1]) * 1024 if found else 0
