"""benches/RESULTS.md: one section a bench, each with the machine that it ran on."""

import datetime
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import Row

FILE = Path(__file__).parent / "RESULTS.md"

_TITLE = """# What the benches found

Each section is rewritten by `make bench`, or by `python benches/run.py NAME`.
Ours and the peer take turns in one process; times are medians, the ratio is the median
of the rounds' ratios, and the spread is its quartiles.
"""
_COLUMNS = (
    "question",
    "case",
    "ours",
    "peer",
    "unit",
    "ratio",
    "spread",
    "target",
    "met",
)
_PACKAGES = ("torch", "numpy", "safetensors", "transformers", "zstandard", "xxhash")


def write_section(name: str, question: str, rows: Sequence[Row]) -> None:
    """Put the rows of bench ``name`` into its section; the others stay as they are."""
    _write(name, f"## {question}\n\n{table(rows)}\n{conditions()}")


def write_unmeasured(name: str, question: str, reason: str) -> None:
    """Say in the section of bench ``name`` that it was not measured, and why.

    Figures that another machine has put there stay.
    """
    section = _section_of(name).search(_text())
    if section is None or _UNMEASURED in section[0]:
        _write(name, f"## {question}\n\n{_UNMEASURED}: {reason}.\n\n{conditions()}")


_UNMEASURED = "Not measured"


def _write(name: str, content: str) -> None:
    section = f"{_begin(name)}\n{content}\n{_end(name)}"
    text, place = _text(), _section_of(name)
    if place.search(text):
        text = place.sub(lambda _: section, text, count=1)
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    FILE.write_text(text, encoding="utf-8")


def _text() -> str:
    return FILE.read_text(encoding="utf-8") if FILE.exists() else _TITLE


def _section_of(name: str) -> re.Pattern[str]:
    begin, end = re.escape(_begin(name)), re.escape(_end(name))
    return re.compile(f"{begin}.*?{end}", re.DOTALL)


def _begin(name: str) -> str:
    return f"<!-- {name}: begin -->"


def _end(name: str) -> str:
    return f"<!-- {name}: end -->"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table of Markdown."""
    lines = [_COLUMNS, ("---",) * len(_COLUMNS), *map(_cells, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def conditions() -> str:
    """Return the machine, the versions and the day."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        gib = int(next(lines).split()[1]) / (1 << 20)
    versions = (f"{p} {importlib.metadata.version(p)}" for p in _PACKAGES)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {gib:.0f} GiB, {_gpu()}"
        f"Linux {platform.release().split('-')[0]}; "
        f"Python {platform.python_version()}, {', '.join(versions)}; "
        f"{datetime.date.today()}.\n"
    )


def _cells(row: Row) -> tuple[str, ...]:
    spread = "" if row.spread is None else "{:.2f} to {:.2f}".format(*row.spread)
    met = {None: "", True: "yes", False: "**no**"}[row.met]
    return (
        row.question,
        row.case,
        _figure(row.ours),
        "" if row.peer is None else _figure(row.peer),
        row.unit,
        "" if row.ratio is None else f"{row.ratio:.3g}",
        spread,
        row.target,
        met,
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _gpu() -> str:
    """Return the GPU for a list of hardware; empty where torch has none."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return ""
    return f"{torch.cuda.get_device_name()}, "


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
