"""Repair of a damaged record from a second copy of it."""

import errno
import os
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from ...config.short_text import first_names, quantity
from ...records.entries.entries import path_index, with_parts
from ...records.entries.entry import Entry
from ...records.errors import (
    RecordError,
    RecordFormatError,
    RecordMismatchError,
    RecordVersionError,
)
from ...records.format_names import format_of_suffix
from ...records.inspection.comparison import content_sum
from ...records.io.lazy_payload import LazyPayload
from ...records.io.progress import Progress, Tally
from ...records.io.remote.address import is_taken, open_in_order
from ...records.io.source import FileSource, Source
from ...records.open import open_record, verify_file
from ...records.readable import source_of

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair took from the copy."""

    paths: list[str]
    """The entries; "header" and the missing ones where everything was taken."""
    share_equal: float | None = None
    """If the result is the copy as a whole: how much of it the damaged file has."""


def repair(
    file: str | os.PathLike[str],
    copy: str | os.PathLike[str],
    target: str | os.PathLike[str],
    progress: Progress | None = None,
) -> Repair:
    """Write ``file`` to ``target``, with its damaged entries taken from ``copy``.

    Where the header is damaged, ``copy`` has to be intact, and to have the bytes of
    every tensor that ``file`` still has; it is written as a whole. ``target`` is a new
    file, its suffix the format. Raises `RecordMismatchError` if ``copy`` is of another
    record: it lacks an entry, or has another value where ``file`` is intact;
    `RecordError` if ``copy`` is damaged there as well, or the header of ``file`` is;
    FileExistsError for an existing target.
    """
    if is_taken(target):
        raise FileExistsError(
            errno.EEXIST, "the file already exists; name a new one", os.fspath(target)
        )
    if _is_header_damaged(file):
        return _take_whole(file, copy, target, progress)
    _check_has_sums(file)
    with open_record(file) as record, open_record(copy) as intact:
        tally = Tally(progress, (2 * e.nbytes for e in record.entries()))
        twins = path_index(intact)
        entries: list[Entry] = []
        repaired: list[str] = []
        for entry in record.entries():
            twin = _twin(entry, twins.get(entry.path), copy)
            value = _sum_or_none(entry)
            tally.add(entry.nbytes, entry.path)
            if value is None:
                repaired.append(entry.path)
            elif _sum_or_none(twin) not in (value, None):
                raise _no_copy(copy, f"{entry.path}: it has different values there")
            # The values of the twin are read when they are written.
            whole_entry = entry.with_payload(twin.source) if value is None else entry
            entries.append(whole_entry)
        with_parts(record, entries=entries).save(target, progress=_rest_of(tally))
    return Repair(repaired)


def _rest_of(tally: Tally) -> Progress | None:
    """Return a progress callback for a save that is the second half of the work."""
    n_before = 0

    def progress(n_done: int, total: int, path: str) -> None:
        nonlocal n_before
        tally.add(n_done - n_before, path)
        n_before = n_done

    return progress if tally.is_told else None


def _is_header_damaged(file: str | os.PathLike[str]) -> bool:
    """Return whether the file cannot even be opened, and is named as a record."""
    try:
        open_record(file).close()
    except RecordVersionError:
        raise
    except RecordError:
        return format_of_suffix(os.fspath(file)) is not None
    return False


def _take_whole(
    file: str | os.PathLike[str],
    copy: str | os.PathLike[str],
    target: str | os.PathLike[str],
    progress: Progress | None,
) -> Repair:
    """Write ``copy``, after verifying all of it, if ``file`` was equal to it."""
    verify_file(copy, progress=progress)
    n_equal, n_bytes = _equal_bytes(file, copy)
    # Files with other values have few bytes in common, wherever these are.
    if 2 * n_equal <= n_bytes:
        size = quantity(n_bytes, "byte")
        problem = f"its header is damaged, and {n_equal:,} of {size} are equal"
        raise _no_copy(copy, problem)
    with open_record(copy) as intact:
        cut = _cut_entries(file, intact.entries(), copy)
        intact.save(target)
    return Repair(["header", *cut], n_equal / n_bytes)


def _cut_entries(
    file: str | os.PathLike[str], entries: list[Entry], copy: str | os.PathLike[str]
) -> list[str]:
    """Return the paths of tensors that extend beyond the end of ``file``.

    Raises `RecordMismatchError` where another one has other bytes than in ``copy``,
    whose checksums match: ``file`` is another save, or damaged there as well.
    """
    cut: list[str] = []
    unequal: list[str] = []
    source = source_of(file, verify=False, map_file=False)
    try:
        for entry in entries:
            payload = entry.source
            if not _lies_in(payload, copy):
                raise _no_copy(copy, _CANNOT_JUDGE)
            if any(at + n > source.size for at, n in payload.pieces):
                cut.append(entry.path)
            if not _has_same_bytes(payload, source):
                unequal.append(entry.path)
    finally:
        source.close()
    if unequal:
        names = first_names(unequal, 6)
        raise _no_copy(copy, f"the header is damaged, and the bytes of {names} differ")
    return cut


_CANNOT_JUDGE = (
    "the header is damaged, and the values cannot be compared without it (verify the "
    "copy, and use it instead if it is intact)"
)


def _lies_in(payload: object, file: str | os.PathLike[str]) -> TypeGuard[LazyPayload]:
    """Return whether the bytes of the values are at known positions of the file."""
    return (
        isinstance(payload, LazyPayload)
        and isinstance(payload.source, FileSource)
        and payload.source.name == os.fspath(file)
        and payload.sum is not None
    )


def _has_same_bytes(payload: LazyPayload, cut_file: Source) -> bool:
    """Return whether ``cut_file``'s remaining values are the payload's."""
    for start, length in payload.pieces:
        end = min(start + length, cut_file.size)
        for at in range(start, end, _PIECE):
            n = min(_PIECE, end - at)
            if payload.source.read(at, n) != cut_file.read(at, n):
                return False
    return True


def _equal_bytes(
    file: str | os.PathLike[str], copy: str | os.PathLike[str]
) -> tuple[int, int]:
    """Return how many bytes are equal at their positions, and of how many."""
    n_equal = n_bytes = 0
    with open_in_order(file) as source_a, open_in_order(copy) as source_b:
        while True:
            piece_a, piece_b = source_a.read(_PIECE), source_b.read(_PIECE)
            if not (piece_a or piece_b):
                return n_equal, n_bytes
            n_bytes += max(len(piece_a), len(piece_b))
            n = min(len(piece_a), len(piece_b))
            a, b = (np.frombuffer(x, np.uint8, n) for x in (piece_a, piece_b))
            n_equal += int(np.count_nonzero(a == b))


def _check_has_sums(file: str | os.PathLike[str]) -> None:
    with open_record(file) as record:
        if record.verified == "none":
            raise RecordFormatError(
                os.fspath(file),
                "no checksums, so the damaged entries are unknown",
                cure="Compare both copies: burnish diff.",
            )


def _twin(entry: Entry, twin: Entry | None, copy: str | os.PathLike[str]) -> Entry:
    if twin is None:
        raise _no_copy(copy, f"{entry.path}: it is missing there")
    if (twin.shape, twin.dtype, twin.id) != (entry.shape, entry.dtype, entry.id):
        raise _no_copy(
            copy, f"{entry.path}: it has a different shape, dtype or ID there"
        )
    return twin


def _sum_or_none(entry: Entry) -> bytes | None:
    """Return a checksum of the values; None for a damaged entry."""
    try:
        return content_sum(entry.blocks())
    except RecordError:
        return None


def _no_copy(copy: str | os.PathLike[str], problem: str) -> RecordMismatchError:
    return RecordMismatchError(
        os.fspath(copy), [problem], "It is not a copy of the damaged file."
    )
