"""``burnish verify``: check all checksums of files and folders; repair from a copy."""

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, TypeAlias

from ..config.printable import printable
from ..config.process.interrupts import raise_of_signal
from ..config.process.user_traceback import error_text
from ..config.short_text import quantity
from ..config.storage.opening import looks
from ..records.errors import (
    ForeignFileError,
    RecordChecksumError,
    RecordError,
    RecordVersionError,
)
from ..records.format_names import format_of_suffix
from ..records.io.remote.address import is_url, size_at
from .digest import sha256_of
from .errors import answering
from .json_output import print_json
from .terminal import console, print_line, progress_bar, saving_bar
from .words import add_json, parser

ABOUT = "compare every byte of records with its checksums, and repair from a copy"

_EXAMPLES = """
burnish verify runs/x model.safetensors
burnish verify broken.mpk --repair-from backup.mpk --out whole.mpk
"""

_NO_SUMS = "it has no checksums; only the structure around the values was checked"


_ERRORS = (RecordError, OSError, ValueError, KeyError)
"""Errors of damaged or incomplete files and folders."""


def main(argv: Sequence[str]) -> int:
    """Verify what ``argv`` names, and return the exit status."""
    words = _parser()
    options = words.parse_args(argv)
    if (options.repair_from is None) != (options.out is None):
        words.error("--repair-from and --out must be given together")
    one_file = len(options.files) == 1
    if not one_file and (options.out is not None or options.sha256 is not None):
        words.error("--repair-from and --sha256 take one file")
    if options.out is not None:
        return answering(lambda: _repair(options))
    return answering(lambda: _verify_all(options))


def _parser() -> ArgumentParser:
    words = parser("verify", ABOUT, _EXAMPLES)
    words.add_argument("files", nargs="+", help="files of any format, or folders")
    about = "treat a file without checksums as a failure"
    words.add_argument("--strict", action="store_true", help=about)
    about = "the SHA-256 that the file must have, which cannot be forged"
    words.add_argument("--sha256", metavar="HEX", type=_sha256, help=about)
    about = "an intact copy to take the damaged entries from"
    words.add_argument("--repair-from", metavar="OTHER", help=about)
    words.add_argument("--out", metavar="NEW", help="where to write the repaired file")
    add_json(words)
    return words


def _sha256(text: str) -> str:
    from ..records.io.pinned import check_sha256

    try:
        return check_sha256(text, "it")
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _verify_all(options: Namespace) -> int:
    results = [_NO_COUNTS | r for f in options.files for r in _results(f, options)]
    if options.json:
        print_json("verify", {"files": results})
    else:
        _print(results, is_strict=options.strict)
    # A file without checksums is not damaged, yet it fails with --strict.
    failing = {"no checksums": 1} if options.strict else {}
    statuses = {{**_STATUS, **failing}[result["verdict"]] for result in results}
    # Damage decides the exit status even if other files could not be read.
    return 1 if 1 in statuses else max(statuses)


_NO_COUNTS: dict[str, Any] = {"n_entries": None, "n_bytes": None, "checked_by": ""}
"""The verdict on a file that could not be read completely."""

_STATUS = {"fine": 0, "no checksums": 0, "damaged": 1, "unreadable": 2}


def _results(file: str, options: Namespace) -> Iterator[dict[str, Any]]:
    """Yield the verdict on each file, whatever is wrong with it.

    A run in progress removes and renames checkpoints; then its folder is listed again
    to find what has replaced them.
    """
    if options.sha256 is not None:
        try:
            digest_problem = _wrong_digest(file, options.sha256)
        except OSError as error:
            digest_problem = _failure(file, error)
        if digest_problem is not None:
            # A file that is not the expected one needs no second verdict.
            yield digest_problem
            return
    settled_readings = set[tuple[str, str]]()
    told_results = set[tuple[str, str]]()
    for is_last in looks():
        has_changed = False
        for result, is_passing in _results_of_now(file, settled_readings):
            if is_passing and not is_last:
                has_changed = True
            elif (key := (result["file"], result["problem"])) not in told_results:
                told_results.add(key)
                yield result
        if not has_changed:
            return


_Reading: TypeAlias = tuple[str, str, Callable[[], list[dict[str, Any]]]]
"""Something to read: its kind, its location, and what returns its results."""


def _results_of_now(
    file: str, settled_readings: set[tuple[str, str]]
) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the verdicts on everything in ``file`` except ``settled_readings``.

    Also yields whether its folder was replaced or removed while it was read, in which
    case nothing can be said about its old content.
    """
    from ..train.checkpoints.rereading import HeldFolder

    HeldFolder.after_turn(file).close()
    try:
        readings = _readings(file)
    except _ERRORS as error:
        raise_of_signal(error)
        # A run with one checkpoint had moved it aside when the names were listed.
        yield _failure(file, error), os.path.isdir(file)
        return
    for kind, place, read in readings:
        if (kind, place) in settled_readings:
            continue
        folder = place if kind == "folder" else os.path.dirname(place)
        with closing(HeldFolder(folder)) as held_folder:
            results = read()
            is_there = os.path.lexists(place) and held_folder.is_current
        is_passing = not is_there and os.path.lexists(file)
        if not is_passing:
            settled_readings.add((kind, place))
        for result in results:
            yield result, is_passing


def _readings(file: str) -> list[_Reading]:
    """Return what there is to read: folders as wholes first, then files."""
    from ..train.inspection.stored_files import files_of, walk_with_links
    from ..train.inspection.stored_parts import files_behind

    rows = [] if is_url(file) else walk_with_links(file)
    files = files_behind(file) if is_url(file) else files_of(file)
    return [
        *(("folder", row[0], partial(_problems_in, row)) for row in rows),
        *(("file", name, partial(_results_of, name)) for name in files),
    ]


def _problems_in(row: Any) -> list[dict[str, Any]]:
    from ..train.inspection.folder_problems import problems_in

    results: list[dict[str, Any]] = []
    try:
        for name, text in problems_in(row):
            results.append({"file": name, "verdict": "damaged", "problem": text})
    except _ERRORS as error:
        raise_of_signal(error)
        results.append(_failure(row[0], error))
    return results


def _results_of(file: str) -> list[dict[str, Any]]:
    from ..records.formats.archive_sums import check_archive_sums
    from ..records.open import verify_file

    try:
        with saving_bar("verifying", file) as progress:
            checked = verify_file(file, progress=progress)
            has_crc = checked.verified == "none" and check_archive_sums(file, progress)
    except (RecordError, OSError, ValueError) as error:
        raise_of_signal(error)
        return [_failure(file, error)]
    checked_by = "its own" if checked.verified == "all" else "CRC-32" * has_crc
    result = {
        "file": file,
        "verdict": "fine" if checked_by else "no checksums",
        "n_entries": checked.n_entries,
        "n_bytes": checked.nbytes,
        "checked_by": checked_by,
        "problem": "" if checked_by else _NO_SUMS,
    }
    return [result]


def _failure(file: str, error: Exception) -> dict[str, Any]:
    is_damaged = isinstance(error, RecordError) and _is_ours(file)
    # A user who deletes damaged files must not lose intact files of other programs.
    intact = (ForeignFileError, RecordVersionError)
    is_damaged = is_damaged and not isinstance(error, intact)
    is_damaged = is_damaged or isinstance(error, RecordChecksumError)
    return {
        "file": file,
        "verdict": "damaged" if is_damaged else "unreadable",
        "problem": error_text(error),
    }


def _is_ours(file: str) -> bool:
    """Return whether this is a folder, or a file with the suffix of a known format."""
    return os.path.isdir(file) or format_of_suffix(file) is not None


def _wrong_digest(file: str, expected: str) -> dict[str, Any] | None:
    with progress_bar("hashing", file, size_at(file) or 0) as advance:
        digest = sha256_of(file, advance)
    if digest == expected:
        return None
    problem = f"its SHA-256 is {digest}, expected {expected}"
    return {"file": file, "verdict": "damaged", "problem": problem}


def _print(results: Sequence[dict[str, Any]], *, is_strict: bool) -> None:
    from ..records.entries.show import show_size

    output = console()
    for result in results:
        file, verdict = printable(result["file"]), result["verdict"]
        if verdict == "fine":
            size = show_size(result["n_bytes"])
            by = ", checked by CRC-32" * (result["checked_by"] == "CRC-32")
            text = f"fine, {quantity(result['n_entries'], 'entry')}, {size}{by}"
            print_line(output, f"{file}: {text}")
            continue
        if verdict == "no checksums":
            print_line(output, f"{file}: {_NO_SUMS.removeprefix('it has ')}")
            continue
        for i, line in enumerate(result["problem"].splitlines() or [""]):
            head = f"{file}: {verdict}: " if not i else "  "
            text = printable(line).removeprefix(f"{file}: ")
            print_line(output, f"{head}{text}")
    verdicts = ("damaged", "unreadable", *(["no checksums"] if is_strict else ()))
    faults = [r for r in results if r["verdict"] in verdicts]
    if len(results) > 1:
        n_bare = sum(result["verdict"] == "no checksums" for result in results)
        bare = f", {n_bare} of {len(results)} without checksums" if n_bare else ""
        text = (
            f"{len(faults)} of {quantity(len(results), 'file')} are not fine"
            if faults
            else "all fine"
        )
        print_line(output, text + bare)


def _repair(options: Namespace) -> int:
    from ..train.inspection.repair import repair

    (file,) = options.files
    with saving_bar("repairing", file) as progress:
        repaired = repair(file, options.repair_from, options.out, progress)
    if options.json:
        share = repaired.share_equal
        content = {"repaired": repaired.paths, "share_equal": share}
        print_json("repair", {"file": options.out, **content})
        return 0
    # The data around the values may be damaged even so, like their checksums.
    names = ", ".join(map(printable, repaired.paths)) or "no entry was damaged"
    print(f"{printable(options.out)}: {_share_of_copy(repaired)}: {names}")
    return 0


def _share_of_copy(repaired: Any) -> str:
    """Return how much of a repaired file came from the copy."""
    if repaired.share_equal is None:
        return "taken from the copy"
    # Rounded down, so that 100 % is shown only if nothing differs.
    percent = int(1000 * repaired.share_equal) / 10
    return (
        f"the whole file is the copy's, and {percent:.1f} % of its bytes match the "
        "damaged one, which differs in"
    )
