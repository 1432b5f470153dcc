"""benches/RESULTS.md: one section a bench, each with the machine that it ran on."""

import datetime
import importlib.metadata
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

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
    text = FILE.read_text(encoding="utf-8") if FILE.exists() else _TITLE
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n## {question}\n\n{table(rows)}\n{conditions()}\n{end}"
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if found.search(text):
        text = found.sub(lambda _: section, text, count=1)
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    FILE.write_text(text, encoding="utf-8")


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
        f"{_processor()}, {os.cpu_count()} cores, {gib:.0f} GiB, "
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


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
