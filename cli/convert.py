"""``burnish convert``: change a record's format, precision or names."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..config.printable import printable
from ..config.process.user_traceback import print_error
from ..config.short_text import quantity
from ..config.storage.replacement import new_folder
from ..records.errors import PrecisionError
from ..records.format_names import format_of_suffix, suffix_of, suffixes
from ..records.io.remote.address import is_url, size_at
from .errors import TOLD_ERRORS, answering
from .json_output import print_json
from .target import find_target
from .terminal import saving_bar
from .words import add_json, parser

ABOUT = "convert records to another format, other precisions or other names"

_EXAMPLES = """
burnish convert model.pt model.safetensors --precision half
burnish convert runs/*.ckpt converted/ --suffix .mpk.zst --weights-only
"""


def main(argv: Sequence[str]) -> int:
    """Convert the files named in ``argv``, and return the exit status."""
    words = _parser()
    options = words.parse_args(argv)
    if options.shards is not None and len(options.sources) > 1:
        words.error("--shards writes one record into a folder")
    return answering(lambda: _run(options))


def _parser() -> ArgumentParser:
    words = parser("convert", ABOUT, _EXAMPLES)
    words.add_argument("sources", nargs="+", metavar="source", help="files or folders")
    about = "a file, whose suffix sets the format; for several sources, a folder"
    words.add_argument("target", help=about)
    about = "the precision of parameters: full, half, bfloat16 or double"
    words.add_argument("--precision", help=about)
    for name, about in (("only", "write only"), ("exclude", "leave out")):
        text = f"{about} tensors that match PATTERN"
        words.add_argument(f"--{name}", action="append", metavar="PATTERN", help=text)
    about = "rename a path, or the beginning of paths"
    words.add_argument("--rename", action="append", metavar="OLD=NEW", help=about)
    about = "apply the rules of a class: file.py:Name or module:Name"
    words.add_argument("--upgrade", metavar="CLASS", help=about)
    about = "write a folder of .safetensors files of at most SIZE each, as in 5GB"
    words.add_argument("--shards", metavar="SIZE", help=about)
    about = "the format of the files in a target folder (default: .mpk)"
    words.add_argument("--suffix", help=about)
    about = "convert only the state dict of a torch file, nothing beside it"
    words.add_argument("--weights-only", action="store_true", help=about)
    words.add_argument("--force", action="store_true", help="overwrite existing files")
    add_json(words)
    return words


def _run(options: Namespace) -> int:
    _check_words(options)
    reading = _reading(options)
    pairs = _pairs(options)
    has_folder = _is_folder(options)
    with _folder_of([target for _, target in pairs] if has_folder else []):
        results = [_converted(*pair, reading, options) for pair in pairs]
    if options.json:
        print_json("convert", {"files": results})
    n_failed = sum(row["problem"] is not None for row in results)
    if n_failed and len(results) > 1:
        print(
            f"{n_failed} of {quantity(len(results), 'file')} were not converted",
            file=sys.stderr,
        )
    return 2 if n_failed else 0


def _converted(
    source: str, target: str, reading: Mapping[str, Any], options: Namespace
) -> dict[str, Any]:
    """Convert a file and report it; return its row of the JSON document."""
    from ..train.inspection.conversion import convert_file

    row: dict[str, Any] = {"source": source, "target": target}
    try:
        with saving_bar("converting", source) as progress, _words_of_options():
            n = convert_file(source, target, progress=progress, **reading)
    except TOLD_ERRORS as error:
        print_error(error)
        return row | {"n_entries": None, "n_bytes": None, "problem": str(error)}
    if not options.json:
        print(f"{printable(target)}: {quantity(n, 'entry')} of {printable(source)}")
    return row | {"n_entries": n, "n_bytes": size_at(target), "problem": None}


@contextmanager
def _words_of_options() -> Generator[None]:
    """Explain a value that does not fit with the options of this command."""
    try:
        yield
    except PrecisionError as error:
        raise PrecisionError(
            error.path,
            error.value,
            error.dtype,
            "--precision bfloat16 has the range of float32; without --precision "
            "every tensor keeps its dtype. In Python, burnish.records.Precision "
            "sets it for each tensor (keep=, overflow=)",
        ) from error


def _check_words(options: Namespace) -> None:
    """Raise ValueError for options that contradict each other."""
    from ..records.precision import NAMED, precision_hint

    if "" in (*options.sources, options.target):
        raise ValueError("a file name is empty")
    if options.precision not in (None, *NAMED):
        raise ValueError(
            f"--precision={options.precision} is not a precision; expected one of "
            f"{', '.join(NAMED)}.{precision_hint(options.precision)}"
        )
    if options.shards is None:
        return
    from ..core.pretrained.shards import size_of

    try:
        size_of(options.shards)
    except ValueError:
        raise ValueError(
            f"--shards={options.shards}: give bytes, or a size such as 5GB or 500MiB"
        ) from None
    if options.suffix is not None:
        raise ValueError("--shards writes .safetensors, and takes no --suffix")
    if format_of_suffix(options.target) is not None:
        raise ValueError(
            f"{options.target}: --shards writes a folder, but this is the name of a "
            "file; name a folder, or leave out --shards"
        )


def _reading(options: Namespace) -> dict[str, Any]:
    target = None if options.upgrade is None else find_target(options.upgrade)
    return {
        "precision": options.precision,
        "only": options.only,
        "exclude": options.exclude,
        "rename": None if options.rename is None else dict(_renames(options.rename)),
        "shards": options.shards,
        "upgrade": target,
        "is_replacing": options.force,
        "weights_only": options.weights_only,
    }


def _renames(texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        path, equals, new_path = text.partition("=")
        if not equals or not path or "=" in new_path:
            raise ValueError(
                f"--rename takes OLD=NEW, once for each name, got {text!r:.80}"
            )
        yield path, new_path


@contextmanager
def _folder_of(targets: Iterable[str]) -> Generator[None]:
    """Create the target folder, and remove it again if nothing was written to it."""
    folder = next((os.path.dirname(file) for file in targets if not is_url(file)), "")
    with new_folder(folder):
        yield


def _is_folder(options: Namespace) -> bool:
    """Return whether the target is a folder for the converted files."""
    if options.shards is not None:
        return False
    is_named_so = options.target.endswith(("/", os.sep))
    return is_named_so or len(options.sources) > 1 or os.path.isdir(options.target)


def _pairs(options: Namespace) -> list[tuple[str, str]]:
    """Return each source with its target; ValueError if two share a name."""
    sources, target = options.sources, options.target
    if not _is_folder(options):
        if options.suffix is not None:
            raise ValueError(f"--suffix is for a folder, but {target} names a file")
        return [(sources[0], target)]
    if os.path.isfile(target):
        raise ValueError(f"{target} is a file, but several sources need a folder")
    suffix = ".mpk" if options.suffix is None else options.suffix
    pairs = [(s, os.path.join(target, _stem(s) + suffix)) for s in sources]
    names = [name for _, name in pairs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two sources would be written to {min(twice)}")
    return pairs


def _stem(file: str) -> str:
    name = os.path.basename(file.rstrip("/"))
    return name.removesuffix(suffix_of(name.lower(), suffixes()))
