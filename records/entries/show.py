"""A record on one screen."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from ...config.printable import printable
from ...config.short_text import quantity
from ..tensors.dtypes import name_of_dtype
from .entry import Entry
from .nodes import record_in

if TYPE_CHECKING:
    from .entries import Entries

_ROWS = 24
"""The number of lines of entries that fit one screen."""


def show_entries(record: "Entries") -> str:
    """Return a table of the record's entries: path, dtype, shape, kind."""
    entries = record.entries()
    size = sum(entry.nbytes for entry in entries)
    name = printable(record.type_name) or "Record"
    head = f"{name}: {quantity(len(entries), 'entry')}, {show_size(size)}"
    visible = entries if len(entries) <= _ROWS else [*entries[:16], *entries[-6:]]
    width = max((len(entry.path) for entry in visible), default=0)
    lines = [_row(entry, min(width, 50)) for entry in visible]
    if len(visible) < len(entries):
        lines.insert(16, f"  ... {len(entries) - len(visible)} more ...")
    return "\n".join([head, *lines, *_plain_rows(record, min(width, 50))])


def show_fields(name: str, fields: dict[str, Any]) -> str:
    """Return ``Name(field=..., ...)`` with tensors as their dtype and shape."""
    return f"{name}({', '.join(f'{k}={_short(v)}' for k, v in fields.items())})"


def show_size(count: float) -> str:
    """Return a number of bytes in readable units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def shape_text(shape: Iterable[int]) -> str:
    """Return ``3x4``, or ``scalar``."""
    return "x".join(map(str, shape)) or "scalar"


def _row(entry: Entry, width: int) -> str:
    shape = shape_text(entry.shape)
    ties = f"  = {', '.join(entry.ties)}" if entry.ties else ""
    kind = f"{name_of_dtype(entry.dtype):<9} {shape:<14} {entry.kind}"
    return f"  {printable(entry.path):<{width}}  {kind}{printable(ties)}"


def _plain_rows(record: "Entries", width: int) -> list[str]:
    """Return a line for each number, string and None among the declared fields."""
    if not record.is_typed:
        return []
    _, fields = record_in(record.tree) or ("", {})
    scalars = {n: v for n, v in fields.items() if not isinstance(v, dict | list)}
    return [f"  {name:<{width}}  {_short(value)}" for name, value in scalars.items()]


def _short(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"{name_of_dtype(value.dtype)}[{'x'.join(map(str, value.shape))}]"
    if isinstance(value, list | tuple | dict) and len(value) > 4:
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {_short(v)}" for k, v in value.items()) + "}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
