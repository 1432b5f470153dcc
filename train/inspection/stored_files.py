"""The files of records in a folder."""

import os
import re
from collections.abc import Iterator
from typing import TypeAlias

from ...config.process.interrupts import raise_of_signal
from ...config.storage.opening import open_regular
from ...config.storage.scratch import is_scratch
from ...core.pretrained.shards import read_shard_index, shard_names
from ...records.flat_record import FlatRecord
from ...records.format_names import format_of_suffix
from ...records.io.remote.stored_folder import read_place
from ...records.io.remote.url import path_or_url
from ...records.sharded.folder import is_record_folder, parts_named_in
from ...records.sharded.shard_index import INDEX as RECORD_INDEX
from ...records.sharded.shard_index import save_id_of
from ...records.source_errors import folder_error
from ..checkpoints.folders import retired_name
from ..checkpoints.manifest import FILE as MANIFEST

_MOST_OF_INDEX = 1 << 30

WalkRow: TypeAlias = tuple[str, list[str], list[str]]
"""A folder, the names of its folders, and those of its files."""


def files_of(source: str) -> list[str]:
    """Return every record file in a folder, at any depth; a file itself.

    Folders within that cannot be read are included. OSError for a folder without any.
    """
    if not os.path.isdir(source):
        return [source]
    unreadable: list[str] = []
    files = [
        os.path.join(folder, name)
        for folder, _, names in walk_with_links(source, unreadable)
        for name in sorted(names)
        if _is_record(os.path.join(folder, name))
        # Reading the index of a folder reads its parts.
        and not (save_id_of(name) and is_record_folder(folder))
    ]
    if not (files or unreadable):
        raise folder_error(source)
    return [*unreadable, *files]


def walk_with_links(source: str, unreadable: list[str] | None = None) -> list[WalkRow]:
    """Return the result of `os.walk`, sorted, following links to folders.

    Each folder is included once, by its own name if it has one in ``source``. Folders
    that cannot be read are added to ``unreadable``. Unfinished saves are not included.
    """

    def note(error: OSError) -> None:
        if unreadable is not None:
            unreadable.append(str(error.filename))

    rows: list[WalkRow] = []
    waiting, visited = [source], set[str]()
    while waiting:
        new_rows = [
            row
            for place in waiting
            if os.path.realpath(place) not in visited
            for row in _finished(os.walk(place, onerror=note))
        ]
        visited.update(os.path.realpath(folder) for folder, _, _ in new_rows)
        rows += new_rows
        places = (os.path.join(row[0], name) for row in new_rows for name in row[1])
        waiting = [place for place in places if os.path.islink(place)]
    return sorted(rows)


def _finished(rows: Iterator[WalkRow]) -> Iterator[WalkRow]:
    """Yield the result of `os.walk` without folders that are temporary.

    A killed save leaves them, and a running one removes them at any moment.
    """
    for row in rows:
        row[1][:] = [name for name in row[1] if not is_passing(row[0], name)]
        yield row


def is_passing(folder: str, name: str) -> bool:
    """Return whether ``name`` is a temporary name of a save in ``folder``."""
    place = retired_name(name)
    if place is not None:
        # If nothing has replaced it, it is the only copy.
        return os.path.lexists(os.path.join(folder, place))
    return is_scratch(name)


def files_of_record(record: FlatRecord) -> list[str]:
    """Return the files of a record: the index of parts, and these."""
    file = record.reading.file
    if os.path.basename(file) == RECORD_INDEX:
        content = read_place(path_or_url(file), _MOST_OF_INDEX)
        names = sorted(parts_named_in(content))
        return [file, *(os.path.join(os.path.dirname(file), name) for name in names)]
    if not file.endswith(".index.json"):
        return [file]
    folder = os.path.dirname(file)
    names = shard_names(read_shard_index(file))
    return [file, *(os.path.join(folder, name) for name in names)]


def _is_record(file: str) -> bool:
    if format_of_suffix(file) is None or os.path.basename(file) == MANIFEST:
        return False
    if file.endswith(("config.json", ".index.json")):
        return False
    if not file.endswith(".json"):
        # A dangling link is a missing record, and a pipe is one that cannot be read:
        # both are reported where the record is.
        return not os.path.isdir(file)
    try:
        return _is_json_record(file)
    except OSError as error:
        raise_of_signal(error)
        return True


def _is_json_record(file: str) -> bool:
    """Return whether a ``.json`` is a record of ours, or may be a damaged one.

    Other libraries have their settings in JSON beside the weights. A file that does not
    begin or end as JSON does is not such a file.
    """
    opened = open_regular(file)
    size = os.fstat(opened.fd).st_size
    head = os.pread(opened.fd, _HEAD, 0)
    tail = os.pread(opened.fd, _HEAD, max(size - _HEAD, 0))
    opened.close()
    has_name = _NAME.search(head, 0, 64) or b'"metadata"' in head
    if has_name and _NAME.search(head):
        return True
    return head.lstrip()[:1] not in (b"{", b"[") or tail.rstrip()[-1:] not in (
        b"}",
        b"]",
    )


_NAME = re.compile(rb'"burnish"\s*:')
_HEAD = 4096
"""Number of bytes that decide whether a file is a record."""
