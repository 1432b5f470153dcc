"""The tree of a record as a table: one line for each module and each tensor."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..config.printable import printable, printable_name
from ..config.short_text import quantity, short_repr
from ..records.entries.show import shape_text, show_size
from ..records.inspection.statistics import TensorStats
from ..records.inspection.tree import Leaf, Node
from ..records.tensors.dtypes import name_of_dtype

if TYPE_CHECKING:
    from rich.table import Table

Stats = Mapping[str, TensorStats]
"""Statistics by the path of each tensor."""

Column: TypeAlias = tuple[str, int, Literal["left", "right"]]
"""Header of a column, its index among the cells of a row, and its alignment."""

MOST_LINES = 1000
"""Lines of a table, unless all are requested."""

_MOST_CHILDREN = 40

_LONGEST_NAME = 240
"""Characters of a name, unless all are requested."""

_BLOCK = re.compile(r"\{\d+\.\.\.\d+\}")
"""Stands for several blocks; a name in a file may look like it."""


def tensor_table(
    root: Node, width: int, *, stats: Stats | None = None, is_whole: bool = False
) -> "Table":
    """Return the table of everything below ``root``, fitted to ``width`` columns.

    ``stats`` are shown instead of IDs. A very long table is shortened unless
    ``is_whole``.
    """
    from rich.table import Table
    from rich.text import Text

    columns: Sequence[Column] = _STATS if stats is not None else _FACTS
    every_row = _rows(root, stats, is_whole)
    rows = [*islice(every_row, None if is_whole else MOST_LINES)]
    n_hidden = sum(1 for _ in every_row)
    if n_hidden:
        note = f"... {quantity(n_hidden, 'more line')}: name a PATTERN, or use --all"
        rows.append(_Row(note, (), False))
    columns = _fitting(columns, *_measured(rows), width)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", overflow="fold")
    for name, _, justify in columns:
        table.add_column(name, justify=justify, no_wrap=True)
    for row in rows:
        cells = [row.cells[i] if row.cells else "" for _, i, _ in columns]
        label = Text(row.label, style="bold" if row.is_module else "")
        table.add_row(label, *map(Text, cells))
    return table


def table_lines(root: Node, *, stats: Stats | None = None) -> Iterator[str]:
    """Yield the table's lines as plain text: rich needs minutes for 200,000."""
    columns: Sequence[Column] = _STATS if stats is not None else _FACTS
    # The rows are generated twice, since holding 200,000 of them takes 100 MB.
    width, width_of_place = _measured(_rows(root, stats, True))
    columns = _fitting(columns, width, width_of_place, 1 << 30)
    widths = [max(len(name), width_of_place[i]) for name, i, _ in columns]
    heads = [name for name, _, _ in columns]
    rows = ((r.label, _chosen(r, columns)) for r in _rows(root, stats, True))
    for label, cells in chain([("", heads)], rows):
        texts = (
            cell.ljust(n) if side == "left" else cell.rjust(n)
            for cell, n, (_, _, side) in zip(cells, widths, columns, strict=True)
        )
        yield "  ".join([label.ljust(width), *texts]).rstrip()


def _chosen(row: "_Row", columns: Sequence[Column]) -> list[str]:
    return [str(row.cells[i]) if row.cells else "" for _, i, _ in columns]


class _Row:
    __slots__ = ("cells", "is_module", "label")

    def __init__(self, label: str, cells: Sequence[str], is_module: bool) -> None:
        self.label, self.cells, self.is_module = label, cells, is_module


_FACTS: Sequence[Column] = (
    ("shape", 0, "left"),
    ("dtype", 1, "left"),
    ("numbers", 2, "right"),
    ("size", 3, "right"),
    ("ID", 4, "left"),
    ("", 5, "left"),
)
_STATS: Sequence[Column] = (
    ("shape", 0, "left"),
    ("dtype", 1, "left"),
    ("mean", 6, "right"),
    ("std", 7, "right"),
    ("min", 8, "right"),
    ("max", 9, "right"),
    ("zeros", 10, "right"),
    ("NaN", 11, "right"),
    ("inf", 12, "right"),
    ("", 5, "left"),
)

_N_CELLS = 13

_DISPENSABLE = (2, 1, 7)
"""Indices of columns dropped in a narrow terminal, the first one first."""


def _measured(rows: Iterable[_Row]) -> tuple[int, list[int]]:
    """Return the width of the longest label and of each column's longest cell."""
    label_width, widths = 0, [0] * _N_CELLS
    for row in rows:
        label_width = max(label_width, len(row.label))
        for place, cell in enumerate(row.cells):
            widths[place] = max(widths[place], len(cell))
    return label_width, widths


def _fitting(
    columns: Sequence[Column], label_width: int, widths: Sequence[int], width: int
) -> Sequence[Column]:
    """Return the columns that are not empty and fit beside the labels."""
    columns = [column for column in columns if widths[column[1]]]
    labels = min(label_width, max(24, width // 3))
    for place in _DISPENSABLE:
        cells = sum(max(len(name), widths[p]) + 2 for name, p, _ in columns)
        if labels + cells <= width:
            break
        columns = [c for c in columns if c[1] != place]
    return columns


def _rows(node: Node, stats: Stats | None, is_whole: bool) -> Iterator[_Row]:
    yield from _child_rows(node, 0, False, stats, is_whole)


def _node_rows(
    node: Node, depth: int, is_repeated: bool, stats: Stats | None, is_whole: bool
) -> Iterator[_Row]:
    label = "  " * depth + _label(node, is_whole)
    if node.leaf is not None and node.leaf.entry is None:
        # A long label would make the other columns wrap.
        room = 40 if is_whole else max(16, 40 - len(label))
        label += f" = {printable(short_repr(node.leaf.value, room))}"
    is_repeated = is_repeated or node.n_alike > 1
    if node.leaf is not None:
        cells = _leaf_cells(node.leaf, is_repeated, node.n_alike, stats)
    else:
        cells = _module_cells(node)
    yield _Row(label, cells, node.leaf is None)
    yield from _child_rows(node, depth + 1, is_repeated, stats, is_whole)


def _child_rows(
    node: Node, depth: int, is_repeated: bool, stats: Stats | None, is_whole: bool
) -> Iterator[_Row]:
    children, n_hidden = node.children, 0
    if len(children) > _MOST_CHILDREN and not is_whole and stats is None:
        n_hidden = len(children) - 30
    for child in children[:24] if n_hidden else children:
        yield from _node_rows(child, depth, is_repeated, stats, is_whole)
    if n_hidden:
        yield _Row("  " * depth + f"... {n_hidden:,} more (--all)", (), False)
        for child in children[-6:]:
            yield from _node_rows(child, depth, is_repeated, stats, is_whole)


def _label(node: Node, is_whole: bool) -> str:
    """Return the name of a node so that its beginning and end are visible."""
    name = printable_name(node.name)
    if node.n_alike == 1 and _BLOCK.search(name):
        name = f"'{name}'"
    if is_whole or len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2
    return f"{name[:half]}...{name[-half:]}"


def _module_cells(node: Node) -> list[str]:
    n_values = n_bytes = 0
    for leaf, n in node.leaves:
        n_values += leaf.n_values * n
        n_bytes += leaf.nbytes * n
    note = f"{node.n_alike:,} alike" if node.n_alike > 1 else ""
    return _cells("", "", f"{n_values:,}", show_size(n_bytes), "", note)


def _leaf_cells(
    leaf: Leaf, is_repeated: bool, n_alike: int, stats: Stats | None
) -> list[str]:
    note = f"{n_alike:,} alike" if n_alike > 1 else ""
    entry = leaf.entry
    if entry is None:
        return _cells("", "", "", "", "", note)
    shape = shape_text(entry.shape)
    dtype = name_of_dtype(entry.dtype)
    if leaf.tied_to is not None:
        return _cells(shape, dtype, "", "", "", f"is {printable(leaf.tied_to)}")
    identity = "" if is_repeated or entry.id is None else entry.id
    notes = ", ".join(text for text in (note, _note(leaf)) if text)
    size = show_size(entry.nbytes)
    cells = _cells(shape, dtype, f"{leaf.n_values:,}", size, identity, notes)
    values = stats.get(leaf.path) if stats is not None else None
    if values is None:
        return cells
    flags = ", ".join(text for text in (notes, flags_text(values)) if text)
    return [*cells[:5], flags, *_stats_cells(values)]


def flags_text(values: TensorStats) -> str:
    """Describe what is unusual about the values; an empty string if nothing is."""
    flags = ["has NaN"] * bool(values.n_nan) + ["has inf"] * bool(values.n_inf)
    if values.is_dead:
        flags.append("all 0" if values.min == 0 else "all the same")
    return ", ".join(flags)


def _note(leaf: Leaf) -> str:
    entry = leaf.entry
    if entry is None or entry.kind in ("tensor", "extra"):
        return ""
    if entry.kind == "parameter":
        return "" if entry.requires_grad else "frozen"
    return "buffer" if entry.kind == "buffer" else "buffer, not in state dicts"


def _cells(*texts: str) -> list[str]:
    return [*texts, *[""] * (_N_CELLS - len(texts))]


def _stats_cells(values: TensorStats) -> list[str]:
    numbers = [values.mean, values.std, values.min, values.max]
    counts = [values.n_zeros, values.n_nan, values.n_inf]
    return [
        *("" if number is None else f"{number:.3g}" for number in numbers),
        *(f"{count:,}" if count else "" for count in counts),
    ]
