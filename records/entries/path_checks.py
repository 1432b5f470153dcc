"""Which names the entries of one file may have."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import RecordFormatError

_MOST_PATH_BYTES = 4096


def check_names(table: Mapping[str, Any], file: str) -> None:
    """Raise `RecordFormatError` unless paths and IDs are good and all different.

    ``table`` has columns of them, and rows of the ties of those that have some.
    """
    paths, ids, ties = table["path"], table["id"], table["ties"]
    if ties or not _are_fine(paths, [i for i in ids if i is not None]):
        _check_each_name(paths, ids, ties, file)


def _are_fine(paths: list[str], ids: list[str]) -> bool:
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


def _check_each_name(
    own_paths: Iterable[str],
    own_ids: Iterable[str | None],
    ties: Iterable[tuple[int, Sequence[str]]],
    file: str,
) -> None:
    paths: set[str] = set()
    ids: set[str] = set()
    ties_of = dict(ties)
    for i, (own_path, own_id) in enumerate(zip(own_paths, own_ids, strict=True)):
        for path in (own_path, *ties_of.get(i, ())):
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
        if own_id is not None:
            if own_id in ids:
                raise RecordFormatError(
                    file, f"two entries with the ID {own_id} ({own_path!r:.80})"
                )
            ids.add(own_id)


def _has_gap(path: str) -> bool:
    """Return whether a part of the path is empty; an escaped dot is part of a part."""
    return ".." in path and ".." in re.sub(r"\\.", "x", path)
