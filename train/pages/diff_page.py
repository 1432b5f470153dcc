"""The page of a comparison: a heat map over layers, and a table of what moved."""

from collections.abc import Iterable, Sequence
from typing import Any

from ...config.printable import printable, printable_name
from ...records.entries.show import shape_text
from ..inspection.diff import Diff, dtype_text, tie_text, value_text
from ..inspection.layers import LayerChange
from ..inspection.tensor_changes import TensorChange
from .page import page_number, page_text

_MOST = 4000
"""Tensors of each kind on the page, those that moved most."""


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


def _sections(result: Diff) -> list[tuple[str, list[str], int]]:
    """Return what else differs: title, lines, and how many there are."""
    sections: Sequence[tuple[str, Sequence[str]]] = (
        ("Hyperparameters", [value_text(c) for c in result.hyperparameters]),
        ("Plain data", [value_text(c) for c in result.data]),
        ("Only in A", _names(result.only_a)),
        ("Only in B", _names(result.only_b)),
        ("Tied only in A", [tie_text(names) for names in result.tied_a]),
        ("Tied only in B", [tie_text(names) for names in result.tied_b]),
        (
            "Another shape",
            [
                f"{printable(p)}: {shape_text(a)} -> {shape_text(b)}"
                for p, (a, b) in result.reshaped.items()
            ],
        ),
        (
            "Another dtype",
            [
                f"{printable(p)}: {dtype_text(pair)}"
                for p, pair in result.retyped.items()
            ],
        ),
        (
            "Another name",
            [f"{printable(a)} -> {printable(b)}" for a, b in result.renamed.items()],
        ),
    )
    return [(title, [*x[:_MOST]], len(x)) for title, x in sections if x]


def _names(paths: Iterable[str]) -> list[str]:
    return [printable_name(path) for path in paths]


def _note(result: Diff) -> str:
    if len(result.changed) <= _MOST:
        return ""
    return (
        f"Of {len(result.changed):,} tensors that changed here are the first {_MOST:,}."
    )
