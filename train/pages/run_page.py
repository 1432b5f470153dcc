"""The page of a training run: progress, curves, checkpoints, configuration."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from ...config.printable import printable
from .page import page_number, page_text

Curves: TypeAlias = Mapping[str, tuple[Sequence[int], Sequence[float]]]
"""Curves by name: steps, and a value at each."""

_MOST = 800
"""Maximal points of a curve on the page: more could not be seen at its width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCheckpoint:
    """A checkpoint of the run that is on disk."""

    name: str
    score: float | None = None
    """The value of the monitored metric, if there is one."""
    is_best: bool = False
    is_last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value of the configuration that is not the default."""

    path: str
    value: str
    default: str
    """Empty if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """The progress of a run when its page is written."""

    state: Literal["running", "finished", "failed"]
    problem: str = ""
    epoch: int = 0
    n_epochs: int | None = None
    """None if the end is unknown."""
    seconds_per_epoch: float = 0.0
    written: int = 0
    """In seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContent:
    """The content of a run's page."""

    title: str
    state: RunState
    curves: Curves
    """Metrics, as ``training/loss``; equal names after the slash share a plot."""
    course: Curves
    """Curves of training: learning rate, norm of the gradient, seconds per step."""
    facts: Mapping[str, object]
    origin: Mapping[str, object] = field(default_factory=dict[str, object])
    """Versions, commit, date, command line."""
    monitor: str = ""
    checkpoints: Sequence[KeptCheckpoint] = ()
    settings: Sequence[Setting] = ()
    config: str = ""
    edits: Sequence[Sequence[str]] = ()
    """Rows of step, time, by, field, from, to, note."""


def run_page(content: RunContent) -> str:
    """Return the page; while the run is running it reloads itself."""
    data = {
        "state": asdict(content.state),
        "curves": _curves(content.curves),
        "course": _curves(content.course),
        "facts": _texts(content.facts),
        "origin": _texts(content.origin),
        "monitor": printable(content.monitor),
        "checkpoints": [_as_json(asdict(c)) for c in content.checkpoints],
        "settings": [_as_json(asdict(setting)) for setting in content.settings],
        "config": "\n".join(map(printable, content.config.splitlines())),
        "edits": [[printable(cell) for cell in row] for row in content.edits],
    }
    data["state"] = _as_json(data["state"])
    return page_text("run", printable(content.title), data)


def _texts(facts: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(printable(name), printable(str(value))) for name, value in facts.items()]


def _as_json(row: Any) -> Any:
    if isinstance(row, Mapping):
        return {key: _as_json(value) for key, value in row.items()}
    if isinstance(row, str):
        return printable(row)
    if isinstance(row, float):
        return page_number(row, 6)
    return row


def _curves(curves: Curves) -> list[dict[str, Any]]:
    return [_curve(name, *curves[name]) for name in sorted(curves) if curves[name][0]]


def _curve(name: str, steps: Sequence[int], values: Sequence[float]) -> dict[str, Any]:
    finite = [value for value in values if math.isfinite(value)]
    places = _places(len(steps))
    return {
        "name": printable(name),
        "steps": [steps[i] for i in places],
        "values": [page_number(values[i], 6) for i in places],
        "last": page_number(values[-1], 6),
        "lowest": page_number(min(finite), 6) if finite else None,
        "highest": page_number(max(finite), 6) if finite else None,
        "nBad": len(values) - len(finite),
    }


def _places(n: int) -> list[int]:
    """Return which points are drawn, including the last one."""
    if n <= _MOST:
        return [*range(n)]
    every = math.ceil(n / _MOST)
    return [*range((n - 1) % every, n, every)]
