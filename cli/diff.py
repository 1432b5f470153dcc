"""``burnish diff``: what differs between two checkpoints, and by how much."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..config.printable import printable, printable_name
from ..config.short_text import quantity
from .errors import answering
from .html_file import add_html, write_html
from .json_output import print_json
from .terminal import console, print_line, saving_bar
from .words import add_json, parser

ABOUT = "compare two checkpoints: names, shapes, dtypes, values, hyperparameters"

_EXAMPLES = """
burnish diff base.safetensors tuned.mpk       # which layers moved?
burnish diff run/ hub_folder/ --rtol 1e-3     # the same, to a tolerance?
burnish diff base.mpk tuned.mpk --html moved.html
"""

_MOST = 40
"""Number of tensors shown unless all are requested."""


def main(argv: Sequence[str]) -> int:
    """Compare the two files named in ``argv``, and return the exit status."""
    options = _parser().parse_args(argv)
    return answering(lambda: _run(options))


def _parser() -> ArgumentParser:
    words = parser("diff", ABOUT, _EXAMPLES)
    words.add_argument("a", help="a file of any format, a folder, or a URL")
    words.add_argument("b", help="the file, folder or URL to compare with")
    about = "ignore differences of at most ATOL + RTOL * abs(b)"
    words.add_argument("--rtol", type=float, help=about)
    words.add_argument("--atol", type=float, help="see --rtol")
    words.add_argument(
        "--all", action="store_true", help="list every tensor that differs"
    )
    add_html(words)
    add_json(words)
    return words


def _run(options: Namespace) -> int:
    from ..train.inspection.diff import diff

    with saving_bar("comparing with", options.b) as progress:
        result = diff(
            options.a,
            options.b,
            rtol=options.rtol,
            atol=options.atol,
            progress=progress,
        )
    if options.html is not None:
        from ..train.pages.diff_page import diff_page

        write_html(options.html, diff_page(result), is_quiet=options.json)
    if options.json:
        print_json("diff", _as_data(result))
    elif options.html is not None:
        print(result.summary())
    else:
        _print(result, is_whole=options.all)
    return 0 if result.same else 1


def _print(result: Any, *, is_whole: bool) -> None:
    from ..train.inspection.diff_sections import diff_sections

    output = console()
    print_line(output, f"A: {printable(result.a)}")
    print_line(output, f"B: {printable(result.b)}")
    most = None if is_whole else 12
    for section in diff_sections(result, most, is_folded=not is_whole):
        output.print()
        print_line(output, f"{section.title}:")
        for line in section.lines:
            print_line(output, f"  {line}")
        if section.n_more:
            print_line(output, f"  ... {section.n_more:,} more (--all)")
    if len(result.layers) > 1:
        output.print()
        _print_layers(output, result.layers, is_whole=is_whole)
    if result.changed:
        output.print()
        output.print(_table(result.changed if is_whole else result.changed[:_MOST]))
        if len(result.changed) > _MOST and not is_whole:
            print_line(output, f"... {len(result.changed) - _MOST:,} more (--all)")
    output.print()
    if parts := result.parts_text():
        print_line(output, parts)
    print_line(output, result.summary())


def _print_layers(output: Any, layers: Sequence[Any], *, is_whole: bool) -> None:
    most = len(layers) if is_whole else 6
    print_line(output, "layers that moved most:")
    width = max(len(printable_name(layer.path)) for layer in layers[:most])
    for layer in layers[:most]:
        tensors = f"{layer.n_changed} of {quantity(layer.n_tensors, 'tensor')}"
        name = printable_name(layer.path).ljust(width)
        print_line(output, f"  {name}  {layer.moved:>8.3g}  {tensors}")
    if len(layers) > most:
        print_line(output, f"  ... {len(layers) - most:,} more (--all)")


def _table(changes: Sequence[Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    from ..train.inspection.diff_result import share_text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("values that differ", overflow="fold")
    for name in ("moved", "max abs", "max rel", "cosine", "changed"):
        table.add_column(name, justify="right", no_wrap=True)
    has_close = any(change.distance.is_close for change in changes)
    if has_close:
        table.add_column("tolerance")
    for change in changes:
        d = change.distance
        cosine = "" if d.cosine is None else _cosine_text(d.cosine)
        cells = (
            f"{change.moved:.3g}",
            f"{d.max_abs:.3g}",
            f"{d.max_rel:.3g}",
            cosine,
            share_text(d.changed_share),
            *(["within" * d.is_close] if has_close else ()),
        )
        table.add_row(Text(printable_name(change.path)), *map(Text, cells))
    return table


def _cosine_text(cosine: float) -> str:
    # A cosine rounded to 1 would claim that the direction did not change.
    text = f"{cosine:.4f}"
    if abs(cosine) < 1 and text.endswith("1.0000"):
        return ">0.9999" if cosine > 0 else "<-0.9999"
    return text


def _as_data(result: Any) -> dict[str, Any]:
    from ..records.tensors.dtypes import name_of_dtype
    from ..train.inspection.diff_result import ABSENT

    def change(item: Any) -> dict[str, Any]:
        sides = {"a": item.a, "b": item.b}
        return {
            "path": item.path,
            **{k: v for k, v in sides.items() if v is not ABSENT},
            "is_close": item.is_close,
        }

    return {
        "a": result.a,
        "b": result.b,
        "same": result.same,
        "only_a": result.only_a,
        "only_b": result.only_b,
        "reshaped": {p: {"a": a, "b": b} for p, (a, b) in result.reshaped.items()},
        "retyped": {
            p: {"a": name_of_dtype(a), "b": name_of_dtype(b)}
            for p, (a, b) in result.retyped.items()
        },
        "renamed": result.renamed,
        "tied_a": result.tied_a,
        "tied_b": result.tied_b,
        "not_compared": result.not_compared,
        "n_equal": result.n_equal,
        "equal_parts": result.equal_parts,
        "layers": (asdict(layer) for layer in result.layers),
        "changed": (
            {
                "path": c.path,
                **asdict(c.distance),
                "moved": c.moved,
                "changed_share": c.distance.changed_share,
            }
            for c in result.changed
        ),
        "hyperparameters": [change(c) for c in result.hyperparameters],
        "data": [change(c) for c in result.data],
    }
