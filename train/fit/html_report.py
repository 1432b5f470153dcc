"""report.html: one page, without anything outside it, that tells how a run went."""

import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...config.live.history import Edit
from ...config.storage.replacement import write_text

Curves = Mapping[str, tuple[Sequence[int], Sequence[float]]]

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
    "padding:0 1rem;color:#222}table{border-collapse:collapse}td,th{padding:.2rem "
    ".8rem;text-align:left;border-bottom:1px solid #ddd}pre{background:#f6f6f6;"
    "padding:1rem;overflow:auto}svg{max-width:100%;height:auto}.bad{color:#b00}"
)


def write_report(
    file: Path,
    *,
    title: str,
    curves: Curves,
    facts: Mapping[str, object],
    config: str,
    problem: str = "",
    edits: Sequence[Edit] = (),
) -> None:
    """Write the page: what happened, numbers, curves, edits, the configuration."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    trouble = (
        f'<p class="bad">Ended early: {html.escape(problem)}</p>' if problem else ""
    )
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{html.escape(title)}</h1>{trouble}\n<table>{rows}</table>\n"
        f"{_pictures(curves)}\n<h2>Last and best values</h2>\n{_table(curves)}\n"
        f"{_history(edits)}"
        f"<h2>Configuration</h2><pre>{html.escape(config)}</pre>\n</body></html>\n"
    )
    write_text(file, page)


def _table(curves: Curves) -> str:
    head = "<tr><th>metric</th><th>last</th><th>lowest</th><th>highest</th></tr>"
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{values[-1]:.6g}</td>"
        f"<td>{min(values):.6g}</td><td>{max(values):.6g}</td></tr>"
        for name, (_, values) in sorted(curves.items())
        if values
    )
    return f"<table>{head}{rows}</table>"


def _history(edits: Sequence[Edit]) -> str:
    """Return what was edited while the run went on, and where it began and went on."""
    if not any(edit.verdict != "begun" for edit in edits):
        return ""
    head = (
        "<tr><th>step</th><th>time</th><th>by</th><th>field</th><th>from</th>"
        "<th>to</th><th></th></tr>"
    )
    rows = "".join(_row(cells) for edit in edits for cells in _lines(edit))
    return f"<h2>Edits while it ran</h2>\n<table>{head}{rows}</table>\n"


def _lines(edit: Edit) -> list[tuple[str, ...]]:
    """Return the rows of an edit: one for each field, or one that says what it was."""
    cells = (str(edit.step), edit.time, edit.by)
    if edit.verdict == "applied" and edit.changes:
        return [(*cells, c.path, c.before, c.after, c.note) for c in edit.changes]
    words = {"begun": "the run began, or went on", "applied": "nothing changed"}
    return [(*cells, "", "", "", words.get(edit.verdict, f"refused: {edit.problem}"))]


def _row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def _pictures(curves: Curves) -> str:
    """Return one picture for each metric, training and validation in one."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "<p>For curves: pip install 'burnish[plot]'</p>"
    metrics: dict[str, list[str]] = {}
    for name in sorted(curves):
        metrics.setdefault(name.partition("/")[2] or name, []).append(name)
    pictures: list[str] = []
    for metric, names in metrics.items():
        figure: Any = Figure(figsize=(8, 3), layout="constrained")
        axes = figure.subplots()
        for name in names:
            steps, values = curves[name]
            mark = "o" if len(steps) < 2 else None
            axes.plot(steps, values, label=name.partition("/")[0], marker=mark)
        axes.set(xlabel="step", ylabel=metric)
        axes.legend()
        axes.grid(alpha=0.3)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        pictures.append(text.getvalue()[text.getvalue().index("<svg") :])
    return "\n".join(pictures)
