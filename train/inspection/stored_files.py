"""The files of records in a folder, and whether they are those that were saved."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...core.pretrained.shards import INDEX, open_shards, read_shard_index, shard_names
from ...records.errors import RecordError
from ...records.flat_record import FlatRecord
from ...records.format_names import format_of_suffix
from ...records.io.remote.stored_folder import read_place
from ...records.io.remote.url import path_or_url
from ...records.open import digest_of
from ...records.sharded.folder import is_record_folder, parts_named_in
from ...records.sharded.shard_index import INDEX as RECORD_INDEX
from ...records.sharded.shard_index import save_id_of
from ...records.source_errors import folder_error
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.folders import DIGITS, LATEST, Folders
from ..checkpoints.manifest import FILE as MANIFEST
from ..hyperstate.stored_files import STATE

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


def problems_of(source: str) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with folders as wholes: the file that says so, and what.

    A part that a checkpoint names is missing, or is another record than was saved; a
    shard that an index names is missing; the newest checkpoint of a run says not what
    it holds, so that the run does not go on from it.
    """
    for folder, folders, names in sorted(os.walk(source)):
        yield from problems_of_run(folder, folders)
        if MANIFEST in names:
            manifest = os.path.join(folder, MANIFEST)
            yield from ((manifest, text) for text in _wrong_parts(Path(folder)))
        if INDEX in names:
            index = os.path.join(folder, INDEX)
            try:
                open_shards(folder, index).close()
            except (RecordError, OSError) as error:
                yield index, str(error)


def problems_of_run(folder: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield why a run with checkpoints of these names does not go on from the newest.

    It is what restoring from it says, without the name of the checkpoint.
    """
    keys = {match[1] for name in names if (match := _NUMBERED.fullmatch(name))}
    has_states = any(os.path.isfile(os.path.join(folder, n, STATE)) for n in names)
    for key in sorted(keys):
        marker = STATE if has_states else MANIFEST
        try:
            Folders(root=Path(folder), key=key, marker=marker).complete()
        except RecordError as error:
            yield str(getattr(error, "file", folder)), str(error)


def _wrong_parts(folder: Path) -> Iterator[str]:
    try:
        rows = Checkpoint.read(folder).manifest.parts
    except RecordError as error:
        yield str(error)
        return
    for name, row in rows.items():
        file = folder / row.file
        if not (file.is_file() or is_record_folder(file)):
            yield f"the part {name!r} in {row.file} is missing"
        elif row.digest is not None and _digest(folder / row.file) != row.digest:
            yield f"the part {name!r} in {row.file} is not what was saved with it"


def _digest(file: Path) -> str:
    try:
        return digest_of(file)
    except RecordError:
        return "damaged"


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
