"""summary.json: the results of a run, for programs, and for the page of its sweep."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...config.process.interrupts import raise_of_signal
from ...config.storage.opening import read_file
from ...config.storage.replacement import write_text
from ..checkpoints.manifest import json_number

NAME = "summary.json"
_VERSION = 1
_MOST_BYTES = 64 << 20
_DEPTH = 4
"""How many levels a run's folder may be below its sweep."""


def write_summary(
    folder: Path,
    *,
    curves: Mapping[str, tuple[Sequence[int], Sequence[float]]],
    facts: Mapping[str, int | float],
    results: Mapping[str, float],
    problem: str,
) -> None:
    """Write numbers of a run: the last one of each curve, and its range.

    ``results`` are metrics without a curve, those of a test. A NaN or an infinity
    becomes a string such as ``"nan"``, since JSON has none.
    """
    metrics = {name: _ends(values) for name, (_, values) in curves.items() if values}
    metrics |= {name: _ends([value]) for name, value in results.items()}
    _write(folder / NAME, {**facts, "metrics": metrics, "problem": problem})


def note_in_sweep(
    folder: Path, settings: Mapping[str, str], problem: str, sweep_id: str
) -> None:
    """Add to a run's summary the sweep's settings for it, and its failure if any.

    ``sweep_id`` identifies its sweep, as a folder may have runs of several. If the
    failed run wrote no summary itself, an older one in its folder is dropped.
    """
    summary = read_summary(folder / NAME) or {}
    if problem and not summary.get("problem"):
        summary = {"metrics": {}, "problem": problem}
    _write(folder / NAME, {**summary, "settings": dict(settings), "sweep": sweep_id})


def read_summary(file: Path) -> dict[str, Any] | None:
    """Return a summary, or None if there is no readable one."""
    try:
        summary = json.loads(read_file(file, _MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise_of_signal(error)
        return None
    is_ours = isinstance(summary, dict) and summary.get("burnish") == "run"
    return summary if is_ours and isinstance(summary.get("metrics"), dict) else None


def summaries_below(folder: Path, depth: int = _DEPTH) -> Iterator[tuple[Path, Any]]:
    """Yield the folder of each run below ``folder``, and its summary."""
    for place in sorted(folder.iterdir()):
        if not place.is_dir() or place.is_symlink():
            continue
        summary = read_summary(place / NAME)
        if summary is not None:
            yield place, summary
        elif depth > 1:
            yield from summaries_below(place, depth - 1)


def _write(file: Path, content: Mapping[str, Any]) -> None:
    document = {**content, "burnish": "run", "version": _VERSION}
    write_text(file, json.dumps(document, indent=1, allow_nan=False) + "\n")


def _ends(values: Sequence[float]) -> dict[str, float | str]:
    finite = [value for value in values if math.isfinite(value)]
    ends = {"last": values[-1]}
    if finite:
        ends |= {"lowest": min(finite), "highest": max(finite)}
    return {name: json_number(value) for name, value in ends.items()}
