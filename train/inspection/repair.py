"""A damaged record made whole from a second copy of it."""

import errno
import os
from pathlib import Path

from ...records.entries.entry import Entry
from ...records.errors import RecordError, RecordFormatError, RecordMismatchError
from ...records.inspection.comparison import content_sum
from ...records.open import open_record


def repair(
    file: str | os.PathLike[str],
    copy: str | os.PathLike[str],
    target: str | os.PathLike[str],
) -> list[str]:
    """Write ``file`` to ``target`` with its damaged entries out of ``copy``.

    Returns their paths. ``target`` is a new file, in the format of its suffix. Raises
    `RecordMismatchError` if ``copy`` is none: it lacks an entry, or has another value
    where ``file`` is whole; `RecordError` if ``copy`` is damaged there as well, or the
    header of ``file`` is; FileExistsError for a target that is there already.
    """
    if os.path.lexists(target):
        raise FileExistsError(
            errno.EEXIST, "there is a file; name a new one", os.fspath(target)
        )
    _check_has_sums(file)
    with open_record(file) as record, open_record(copy) as whole:
        twins = whole.by_path()
        entries: list[Entry] = []
        repaired: list[str] = []
        for entry in record.entries():
            twin = _twin(entry, twins.get(entry.path), copy)
            value = _sum_or_none(entry)
            if value is None:
                repaired.append(entry.path)
            elif _sum_or_none(twin) not in (value, None):
                raise _no_copy(copy, f"{entry.path}: it has other values there")
            # The values of the twin are read when they are written.
            whole_entry = entry.with_payload(twin.source) if value is None else entry
            entries.append(whole_entry)
        record.replaced(entries=entries).save(Path(target))
    return repaired


def _check_has_sums(file: str | os.PathLike[str]) -> None:
    with open_record(file) as record:
        if record.verified == "none":
            raise RecordFormatError(
                os.fspath(file),
                "no checksums, so that nobody knows which entries are damaged",
                cure="Compare both copies: burnish diff.",
            )


def _twin(entry: Entry, twin: Entry | None, copy: str | os.PathLike[str]) -> Entry:
    if twin is None:
        raise _no_copy(copy, f"{entry.path}: it is not there")
    if (twin.shape, twin.dtype, twin.id) != (entry.shape, entry.dtype, entry.id):
        raise _no_copy(copy, f"{entry.path}: it has another shape, dtype or ID there")
    return twin


def _sum_or_none(entry: Entry) -> bytes | None:
    """Return a sum of the values; None for an entry that is damaged."""
    try:
        return content_sum(entry.blocks())
    except RecordError:
        return None


def _no_copy(copy: str | os.PathLike[str], problem: str) -> RecordMismatchError:
    return RecordMismatchError(
        os.fspath(copy), [problem], "It is no copy of the damaged file."
    )
