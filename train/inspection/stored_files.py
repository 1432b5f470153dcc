"""The files of records in a folder."""

import os
import re

from ...core.pretrained.shards import read_shard_index, shard_names
from ...records.flat_record import FlatRecord
from ...records.format_names import format_of_suffix
from ...records.io.remote.stored_folder import read_place
from ...records.io.remote.url import path_or_url
from ...records.sharded.folder import is_record_folder, parts_named_in
from ...records.sharded.shard_index import INDEX as RECORD_INDEX
from ...records.sharded.shard_index import save_id_of
from ...records.source_errors import folder_error
from ..checkpoints.folders import DIGITS, LATEST
from ..checkpoints.manifest import FILE as MANIFEST

_MOST_OF_INDEX = 1 << 30

_NUMBERED = re.compile(rf"(?:{re.escape(LATEST)})?(\D+)\d{{{DIGITS}}}")


def files_of(source: str) -> list[str]:
    """Return every file of a record in a folder, at any depth; a file itself.

    OSError for a folder without any.
    """
    if not os.path.isdir(source):
        return [source]
    files = [
        os.path.join(folder, name)
        for folder, _, names in sorted(os.walk(source))
        for name in sorted(names)
        if _is_record(os.path.join(folder, name))
        # Who reads the index of a folder reads its parts.
        and not (save_id_of(name) and is_record_folder(folder))
    ]
    if not files:
        raise folder_error(source)
    return files


def files_of_record(record: FlatRecord) -> list[str]:
    """Return the files that a record lies in: the index of parts, and these."""
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
        return os.path.isfile(file)
    # Other libraries have their settings in JSON, beside the weights.
    with open(file, "rb") as stream:
        return b'"burnish"' in stream.read(64)
