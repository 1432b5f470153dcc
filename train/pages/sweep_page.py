"""The page of a sweep: a table of its runs, and each run as a line over all axes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ...config.printable import printable
from .page import page_text


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRun:
    """One run of a sweep, as read from its folder."""

    name: str
    """Its folder, relative to that of the sweep."""

    has_report: bool
    summary: Mapping[str, Any]
    """The content of ``summary.json``, which the user may have written."""


def sweep_page(title: str, runs: Sequence[SweepRun], *, n_older: int = 0) -> str:
    """Return the page that compares ``runs``; the settings that differ are axes.

    ``n_older`` runs of another sweep are in the same folder, and not included.
    """
    settings = [_texts(run.summary.get("settings")) for run in runs]
    keys = list(dict.fromkeys(key for texts in settings for key in texts))
    different = [k for k in keys if len({texts.get(k) for texts in settings}) > 1]
    metrics = sorted({name for run in runs for name in _metrics(run)})
    content = {
        "params": [printable(key) for key in different],
        "same": [
            [printable(key), printable(settings[0][key])]
            for key in keys
            if key not in different
        ],
        "metrics": [printable(name) for name in metrics],
        "n_older": n_older,
        "runs": [
            _run(run, texts, different)
            for run, texts in zip(runs, settings, strict=True)
        ],
    }
    return page_text("sweep", printable(f"Sweep: {title}"), content)


def _run(
    run: SweepRun, settings: Mapping[str, str], keys: Sequence[str]
) -> dict[str, Any]:
    summary = run.summary
    return {
        "name": printable(run.name),
        "report": quote(f"{run.name}/report.html") if run.has_report else None,
        "problem": printable(str(summary.get("problem") or ""))[:400],
        "params": [_value(settings.get(key)) for key in keys],
        "metrics": {printable(k): v for k, v in _metrics(run).items()},
        **{key: _number(summary.get(key)) for key in ("epochs", "steps", "seconds")},
    }


def _texts(settings: object) -> dict[str, str]:
    if not isinstance(settings, dict):
        return {}
    return {str(key): str(value) for key, value in settings.items()}


def _metrics(run: SweepRun) -> dict[str, dict[str, float | str]]:
    """Return the numbers of each metric; ``"nan"`` and ``"inf"`` stay strings."""
    metrics: Mapping[str, Any] = run.summary["metrics"]
    return {
        str(name): {
            key: number
            for key in ("last", "lowest", "highest")
            if (number := _number(ends.get(key))) is not None
        }
        for name, ends in metrics.items()
        if isinstance(ends, dict)
    }


def _value(text: str | None) -> float | str | None:
    """Return the value of a setting on its axis: a number if it is one."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return printable(text)[:200]
    return value if math.isfinite(value) else printable(text)


def _number(value: object) -> float | str | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        return value if value in ("nan", "inf", "-inf") else None
    return value if math.isfinite(value) else repr(float(value))
