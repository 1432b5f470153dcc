"""Which names the entries of one file may have."""

import re
from collections.abc import Sequence

from ..errors import RecordFormatError
from .entry import Entry, ParamId

_MOST_PATH_BYTES = 4096


def check_names(entries: Sequence[Entry], file: str) -> None:
    """Raise `RecordFormatError` unless paths and IDs are good and all different."""
    if not _are_fine([e.path for e in entries], [e.id for e in entries if e.id]) or any(
        e.ties for e in entries
    ):
        _check_each_name(entries, file)


def _are_fine(paths: list[str], ids: list[ParamId]) -> bool:
    """Return whether all names are good and different, at the price of three joins."""
    try:
        joined = "\n".join(paths)
    except TypeError:
        return False
    return (
        len(set(paths)) == len(paths)
        and len(set(ids)) == len(ids)
        and "" not in paths
        and "\0" not in joined
        and ".." not in joined
        and (not paths or max(map(len, paths)) <= _MOST_PATH_BYTES // 4)
    )


def _check_each_name(entries: Sequence[Entry], file: str) -> None:
    paths: set[str] = set()
    ids: set[str] = set()
    for entry in entries:
        for path in (entry.path, *entry.ties):
            if type(path) is not str or not path or "\0" in path or _has_gap(path):
                raise RecordFormatError(file, f"an entry called {path!r:.80}")
            if (
                len(path) > _MOST_PATH_BYTES // 4
                and len(path.encode()) > _MOST_PATH_BYTES
            ):
                raise RecordFormatError(
                    file, f"a path of over {_MOST_PATH_BYTES} bytes: {path[:40]!r}..."
                )
            if path in paths:
                raise RecordFormatError(file, f"two entries called {path!r:.80}")
            paths.add(path)
        if entry.id is not None:
            if entry.id in ids:
                raise RecordFormatError(
                    file, f"two entries with the ID {entry.id} ({entry.path!r:.80})"
                )
            ids.add(entry.id)


def _has_gap(path: str) -> bool:
    """Return whether a part of the path is empty; an escaped dot is part of a part."""
    return ".." in path and ".." in re.sub(r"\\.", "x", path)
