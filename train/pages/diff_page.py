"""The page of a comparison: a heat map over layers, and a table of the changes."""

from collections.abc import Iterable
from typing import Any

from ...config.printable import printable, printable_name
from ..inspection.diff_result import Diff
from ..inspection.diff_sections import diff_sections
from ..inspection.layers import LayerChange
from ..inspection.tensor_changes import TensorChange
from .page import page_number, page_text

_MOST = 4000
"""Maximal tensors of each kind on the page, those with the largest changes."""


def diff_page(result: Diff) -> str:
    """Return the page of a comparison."""
    content = {
        "a": printable(result.a),
        "b": printable(result.b),
        "same": result.same,
        "summary": printable(result.summary()),
        "changed": [_change(change) for change in result.changed[:_MOST]],
        "equal": _names(result.equal[:_MOST]),
        "nEqual": result.n_equal,
        "nChanged": len(result.changed),
        "layers": [_layer(layer) for layer in result.layers],
        "sections": _sections(result),
        "note": _note(result),
    }
    return page_text("diff", _title(result), content)


def _title(result: Diff) -> str:
    a, b = (
        printable(name.rstrip("/").rpartition("/")[2] or name)
        for name in (result.a, result.b)
    )
    return f"{a} and {b}"


def _change(change: TensorChange) -> dict[str, Any]:
    d = change.distance
    return {
        "name": printable(change.path),
        "n": d.n_values,
        "moved": page_number(change.moved, 5),
        "maxAbs": page_number(d.max_abs, 5),
        "maxRel": page_number(d.max_rel, 5),
        "cosine": d.cosine,
        "share": d.changed_share,
    }


def _layer(layer: LayerChange) -> dict[str, Any]:
    return {
        "name": printable(layer.path),
        "moved": page_number(layer.moved, 5),
        "nChanged": layer.n_changed,
        "nTensors": layer.n_tensors,
    }


def _sections(result: Diff) -> list[tuple[str, list[str], int, int]]:
    """Return the other differences: titles, lines, number of names, and omitted."""
    return [
        (s.title[:1].upper() + s.title[1:], s.lines, s.n, s.n_more)
        for s in diff_sections(result, _MOST)
    ]


def _names(paths: Iterable[str]) -> list[str]:
    return [printable_name(path) for path in paths]


def _note(result: Diff) -> str:
    if len(result.changed) <= _MOST:
        return ""
    return f"The first {_MOST:,} of {len(result.changed):,} changed tensors are shown."
