"""``burnish show``: the content of a file or folder, without its code or classes."""

import math
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any, TypeAlias

from ..config.printable import printable
from ..config.spelling import did_you_mean
from ..records.io.remote.address import size_at
from .digest import sha256_of
from .errors import answering
from .html_file import add_html, write_html
from .json_output import print_json
from .terminal import console, print_line, progress_bar, saving_bar
from .words import add_json, parser

ABOUT = "inspect a checkpoint: its kind, its tensors by module, their statistics"

Digests: TypeAlias = Sequence[Mapping[str, str]]
"""The digests of each record by file."""

_EXAMPLES = """
burnish show model.safetensors
burnish show runs/x 'optim.**.exp_avg' --stats
burnish show model.safetensors --html model.html
"""


def main(argv: Sequence[str]) -> int:
    """Show what ``argv`` names, and return the exit status."""
    words = _parser()
    options = words.parse_intermixed_args(argv)
    if options.values is not None and options.html is not None:
        words.error("--values prints one tensor, and cannot be combined with --html")
    return answering(lambda: _run(options))


def _parser() -> ArgumentParser:
    words = parser("show", ABOUT, _EXAMPLES)
    words.add_argument("file", help="a file of any format, a folder, or a URL")
    about = "tensors to show, as layers.0 or **.bias; of a checkpoint, PART.PATTERN"
    words.add_argument("pattern", nargs="*", default=[], help=about)
    about = "print mean, std, min, max, zeros, NaN and infinities of every tensor"
    words.add_argument("--stats", action="store_true", help=about)
    words.add_argument(
        "--values", metavar="PATH", help="print the values of one tensor"
    )
    about = (
        "print every line, without folding repeated blocks; with --values, every value"
    )
    words.add_argument("--all", action="store_true", help=about)
    about = "print the SHA-256 of the file, which cannot be forged"
    words.add_argument("--digest", action="store_true", help=about)
    add_html(words)
    add_json(words)
    return words


def _run(options: Namespace) -> int:
    from ..train.inspection.stored_parts import stored_parts

    with saving_bar("opening", options.file):
        opened = stored_parts(options.file, skips_unreadable=True)
    with opened as source:
        status = _show(source, options)
        is_whole = not source.unreadable or options.values is not None
        return status if is_whole else 2


def _show(source: Any, options: Namespace) -> int:
    from ..train.inspection.part_view import PartView, part_views

    views: list[PartView] = _chosen(part_views(source), options.pattern)
    if options.values is not None:
        return _show_values(source, views, options)
    digests = [_digests(view) for view in views] if options.digest else []
    if options.html is not None:
        _write_page(source, views, digests, options)
    if options.json:
        return _print_json(source, views, digests, options)
    if options.html is None:
        _print_tables(source, views, digests, options)
    return 0


def _write_page(
    source: Any, views: Sequence[Any], digests: Digests, options: Namespace
) -> None:
    from ..train.pages.record_page import record_page
    from .facts import lines_of_part, lines_of_source

    name = os.path.basename(source.source.rstrip("/")) or source.source
    lines = [*lines_of_source(source)]
    for i, view in enumerate(views):
        lines += [*lines_of_part(view), *_lines_of_digests(digests, i)]
    if source.kind == "record":
        # The page's title is the name of the file.
        lines[0] = lines[0].removeprefix(f"{printable(source.source)}: ")
    with saving_bar("reading", source.source) as progress:
        page = record_page(name, views, lines, progress)
    write_html(options.html, page, is_quiet=options.json)


def _digests(view: Any) -> dict[str, str]:
    """Return the digest of each file of a record, which may consist of several."""
    from ..train.inspection.stored_files import files_of_record

    sums: dict[str, str] = {}
    for file in files_of_record(view.record):
        with progress_bar("hashing", file, size_at(file) or 0) as advance:
            sums[file] = sha256_of(file, advance)
    return sums


def _lines_of_digests(digests: Digests, i: int) -> Iterator[str]:
    """Yield the lines of a part, if digests were requested."""
    for file, digest in digests[i].items() if digests else ():
        name = f" {printable(file)}" if len(digests[i]) > 1 else ""
        yield f"  sha256 {digest}{name}"


def _chosen(views: Any, patterns: Sequence[str]) -> list[Any]:
    """Return the views reduced to what the patterns select; all without patterns.

    A pattern may begin with the name of a part. Raises ValueError if one matches
    nothing in any part.
    """
    all_views = [*views]
    if not patterns:
        return all_views
    chosen: list[Any] = []
    errors: dict[str, list[ValueError]] = {pattern: [] for pattern in patterns}
    hits: set[str] = set()
    for view in all_views:
        texts = _texts_in_part(view, patterns, errors)
        hits.update(texts)
        if texts:
            is_whole = view.part.name in texts
            chosen.append(view if is_whole else view.chosen([*texts.values()]))
    for pattern in patterns:
        if pattern not in hits:
            raise errors[pattern][0]
    return chosen


def _texts_in_part(
    view: Any, patterns: Sequence[str], errors: Mapping[str, list[ValueError]]
) -> dict[str, str]:
    """Return the patterns that select something in a part, relative to the part."""
    name = view.part.name
    prefix = f"{name}." if name else ""
    paths = [leaf.path for leaf in view.leaves()]
    texts: dict[str, str] = {}
    for pattern in patterns:
        text = pattern.removeprefix(prefix)
        try:
            if pattern != name or not name:
                view.check_matches(text, paths)
            texts[pattern] = text
        except ValueError as error:
            errors[pattern].append(error)
    return texts


def _print_tables(
    source: Any, views: Sequence[Any], digests: Digests, options: Namespace
) -> None:
    from .facts import lines_of_part, lines_of_source, totals_text
    from .tensor_table import MOST_LINES, table_lines, tensor_table

    output = console()
    for line in lines_of_source(source):
        print_line(output, line)
    for i, view in enumerate(views):
        if i or source.kind != "record":
            output.print()
        for line in lines_of_part(view):
            print_line(output, line)
        for line in _lines_of_digests(digests, i):
            print_line(output, line)
        print_line(output, f"  {totals_text(view)}")
        output.print()
        stats = _stats(view) if options.stats else None
        tree = _tree(view, options)
        if options.all and len(view.entries) > MOST_LINES:
            for line in table_lines(tree, stats=stats):
                print(line)
        else:
            output.print(
                tensor_table(tree, output.width, stats=stats, is_whole=options.all)
            )
        for text, paths in _oddities(stats or {}).items():
            names = ", ".join(map(printable, paths[:6])) + ", ..." * (len(paths) > 6)
            output.print(f"{text}: {len(paths)} ({names})")


def _tree(view: Any, options: Namespace) -> Any:
    from ..records.inspection.tree import tree_of

    is_collapsed = not (options.all or options.stats)
    return tree_of(view.leaves(), view.split(), is_collapsed=is_collapsed)


def _stats(view: Any) -> Mapping[str, Any]:
    """Return the statistics of each tensor by path; tensors are read one at a time."""
    from ..records.inspection.read_ahead import read_ahead
    from ..records.inspection.statistics import StatsTable, stats_of

    entries = [e for e in view.entries if e.kind != "extra"]
    total = sum(entry.nbytes for entry in entries)
    stats = StatsTable()
    with progress_bar("reading", view.part.file, total) as advance:
        for (entry,) in read_ahead((entry,) for entry in entries):
            stats.add(entry.path, stats_of(_counted(entry.blocks(), advance)))
    return stats


def _counted(blocks: Any, advance: Any) -> Iterator[Any]:
    for block in blocks:
        yield block
        advance(block.nbytes)


def _oddities(stats: Mapping[str, Any]) -> dict[str, list[str]]:
    """Describe unusual values in words, with the paths of the affected tensors."""
    from .tensor_table import flags_text

    paths: dict[str, list[str]] = {}
    for path, values in stats.items():
        for flag in filter(None, flags_text(values).split(", ")):
            paths.setdefault(flag, []).append(path)
    return {
        f"tensors that {'are ' if flag.startswith('all') else ''}"
        f"{flag.replace('has', 'have')}": those_paths
        for flag, those_paths in paths.items()
    }


def _show_values(source: Any, views: Sequence[Any], options: Namespace) -> int:
    path = options.values
    hits = [(view, hit) for view in views if (hit := _stored_at(view, path))]
    numbers: Mapping[str, Any] = source.facts.get("values") or {}
    if not hits and path in numbers:
        _print_values(path, numbers[path], options)
        return 0
    if not hits:
        hint = _hint_of_path(views, [*numbers], path)
        raise ValueError(f"nothing is stored at {path!r}.{hint}")
    if len(hits) > 1:
        names = [view.names_of(hit_path)[-1] for view, (hit_path, _) in hits]
        raise ValueError(f"{len(hits)} parts have {path!r}; write {' or '.join(names)}")
    _print_values(*hits[0][1], options)
    return 0


def _stored_at(view: Any, path: str) -> tuple[str, Any] | None:
    """Return the path within a part, and the entry or plain value at that path."""
    for entry in view.entries:
        if path in entry.ties or path in view.names_of(entry.path):
            return entry.path, entry
    for name, value in view.plain:
        if path in view.names_of(name):
            return name, value
    return None


def _hint_of_path(views: Sequence[Any], numbers: Sequence[str], path: str) -> str:
    for view in views:
        if path in view.record.reading.beside:
            return (
                " It is next to the state dict, and nothing else is read from "
                f"torch files; torch.load(file, weights_only=True)[{path!r}] has "
                "it."
            )
    names = [view.names_of(leaf.path) for view in views for leaf in view.leaves()]
    below = [called[-1] for called in names if _is_below(path, called)]
    if below:
        more = ", ..." * (len(below) > _MOST_NAMES)
        return f" Below it are {', '.join(below[:_MOST_NAMES])}{more}"
    return did_you_mean(path, [*chain.from_iterable(names), *numbers])


def _is_below(path: str, names: Sequence[str]) -> bool:
    return any(name.startswith(f"{path}.") for name in names)


_MOST_NAMES = 6
"""More names than this would hide the message in which they stand."""

_MOST_VALUES = 1000
"""Torch prints only the first and the last of more values."""


def _print_values(path: str, entry: Any, options: Namespace) -> None:
    from ..records.entries.entry import Entry

    is_tensor = isinstance(entry, Entry)
    if options.json:
        plain_document = {"path": path, "values": entry}
        print_json("values", _values_as_data(entry) if is_tensor else plain_document)
        return
    if not is_tensor:
        print(printable(repr(entry)))
        return
    if options.all:
        _print_rows(entry)
        return
    print(entry.read())
    count = math.prod(entry.shape)
    if count > _MOST_VALUES:
        print(f"... of {count:,} values; --all prints each of them, a row on a line")


def _print_rows(entry: Any) -> None:
    """Print every value, one row of the last dimension per line, block by block."""
    length = entry.shape[-1] if entry.shape else 1
    values = chain.from_iterable(block.tolist() for block in entry.blocks())
    for i, value in enumerate(values, start=1):
        print(value, end=" " if i % length else "\n")


def _values_as_data(entry: Any) -> dict[str, Any]:
    from ..records.tensors.dtypes import name_of_dtype

    values = entry.read()
    # The widest dtype holds every floating value exactly, and supports tolist.
    numbers = values.double() if values.is_floating_point() else values
    return {
        "path": entry.path,
        "dtype": name_of_dtype(entry.dtype),
        "shape": list(entry.shape),
        "values": numbers.tolist(),
    }


def _print_json(
    source: Any, views: Sequence[Any], digests: Digests, options: Namespace
) -> int:
    parts = [_part_as_data(view, options) for view in views]
    for part, digest in zip(parts, digests, strict=False):
        part["sha256_by_file"] = digest
        if len(digest) == 1:
            (part["sha256"],) = digest.values()
    content = {
        "file": source.source,
        "kind": source.kind,
        "facts": source.facts,
        "unreadable": [str(error) for error in source.unreadable],
        "parts": parts,
    }
    print_json("show", content)
    return 0


def _part_as_data(view: Any, options: Namespace) -> dict[str, Any]:
    stats = _stats(view) if options.stats else {}
    record, library = view.record, view.library
    return {
        "name": view.part.name,
        "file": view.part.file,
        "kind": view.part.kind,
        "format": record.reading.format,
        "format_version": record.reading.version,
        "beside": list(record.reading.beside),
        "type": record.type_name,
        "library": library.get("library"),
        "checksums": view.has_sums,
        "hyperparameters": view.hparams,
        "groups": [group.fields() for group in view.groups],
        "metadata": view.users_metadata,
        "n_tensors": len(view.entries),
        "n_bytes": sum(entry.nbytes for entry in view.entries),
        "bytes_by_dtype": dict(view.nbytes_by_dtype()),
        "tensors": (_entry_as_data(entry, stats) for entry in view.entries),
        "data": dict(view.plain),
    }


def _entry_as_data(entry: Any, stats: Mapping[str, Any]) -> dict[str, Any]:
    from ..records.tensors.dtypes import name_of_dtype

    data = {
        "path": entry.path,
        "kind": entry.kind,
        "id": entry.id,
        "dtype": name_of_dtype(entry.dtype),
        "shape": list(entry.shape),
        "n_bytes": entry.nbytes,
        "requires_grad": entry.requires_grad,
        "ties": list(entry.ties),
    }
    if entry.path in stats:
        data["stats"] = asdict(stats[entry.path])
    return data
