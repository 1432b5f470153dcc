"""Problems of whole folders, independent of their records."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from ...config.errors import ConfigSyntaxError
from ...config.process.interrupts import raise_of_signal
from ...core.pretrained.pretrained_folder import CONFIG as PRETRAINED_CONFIG
from ...core.pretrained.pretrained_folder import KINDS, read_config
from ...core.pretrained.shards import INDEX, open_shards
from ...records.errors import RecordError
from ...records.open import digest_of
from ...records.sharded.folder import is_record_folder
from ...records.sharded.shard_index import INDEX as RECORD_INDEX
from ...records.sharded.shard_index import save_id_of
from ..checkpoints.folders import DIGITS, LATEST, Folders, numbered_name
from ..checkpoints.manifest import FILE as MANIFEST
from ..checkpoints.manifest import Manifest
from ..hyperstate.blob_markers import blob_files
from ..hyperstate.digests import FILE as DIGESTS
from ..hyperstate.digests import read_digests
from ..hyperstate.stored_files import CONFIG, STATE, StoredFiles, check_texts
from .stored_files import WalkRow

_NUMBERED = re.compile(rf"(?:{re.escape(LATEST)})?(\D+)\d{{{DIGITS}}}")

_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}\.safetensors")


_PARTS_OF_LIGHTNING = {"model.mpk", "training.mpk"}
"""The names that `RecordCheckpoint` writes, into folders of any name."""


def problems_in(row: WalkRow) -> Iterator[tuple[str, str]]:
    """Yield the problems of a whole folder: the file that shows it, and a description.

    A part that a checkpoint names is missing, or is another record than was saved; a
    text of it cannot be read; a shard that an index names is missing, or the index of
    shards; a run does not resume from its newest checkpoint, or an older one has lost
    the file that lists its content. Folders in it are checked in rows of their own.
    """
    folder, folders, names = row
    yield from problems_of_run(folder, folders)
    yield from _unmarked(folder, folders)
    if MANIFEST in names:
        manifest = os.path.join(folder, MANIFEST)
        yield from ((manifest, text) for text in _wrong_parts(Path(folder)))
    elif {*names} >= _PARTS_OF_LIGHTNING:
        yield folder, _without(MANIFEST)
    if STATE in names or DIGESTS in names:
        yield from _problems_of_state(Path(folder))
    if INDEX in names:
        index = os.path.join(folder, INDEX)
        try:
            open_shards(folder, index).close()
        except (RecordError, OSError) as error:
            raise_of_signal(error)
            yield index, str(error)
    yield from _problems_of_settings(folder, names)
    yield from _lost_indexes(folder, names)


def problems_of_run(folder: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield why a run with these checkpoints does not resume from the newest.

    It is the error of restoring it, without the name of the checkpoint.
    """
    for folders in _runs_in(folder, names):
        try:
            folders.complete()
        except RecordError as error:
            yield str(getattr(error, "file", folder)), str(error)


def _runs_in(folder: str, names: Sequence[str]) -> Iterator[Folders]:
    keys = {match[1] for name in names if (match := _NUMBERED.fullmatch(name))}
    has_states = any(os.path.isfile(os.path.join(folder, n, STATE)) for n in names)
    marker = STATE if has_states else MANIFEST
    for key in sorted(keys):
        yield Folders(root=Path(folder), key=key, marker=marker)


def _unmarked(folder: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield checkpoints older than the newest whole one that are no longer complete."""
    for folders in _runs_in(folder, names):
        newest = max(folders.by_number(), default=-1)
        for number, place in folders.unmarked().items():
            if number < newest:
                yield str(place), _without(folders.marker)


def _without(marker: str) -> str:
    return f"a checkpoint without {marker}, which describes it"


def _wrong_parts(folder: Path) -> Iterator[str]:
    try:
        manifest = Manifest.read(folder)
    except RecordError as error:
        yield str(error)
        return
    key = Folders(root=folder.parent).key
    if match := numbered_name(key).fullmatch(folder.name):
        try:
            manifest.check_step(int(match[1]), folder)
        except RecordError as error:
            yield str(error)
    for name, row in manifest.parts.items():
        file = folder / row.file
        if not (file.is_file() or is_record_folder(file)):
            yield f"the part {name!r} in {row.file} is missing"
        elif row.digest is not None and _digest(folder / row.file) != row.digest:
            yield (
                f"the part {name!r} in {row.file} is not the one that was saved with it"
            )


def _digest(file: Path) -> str:
    try:
        return digest_of(file)
    except RecordError:
        return "damaged"


def _problems_of_state(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what a HyperState checkpoint lacks, or has from another one."""
    files = StoredFiles.of_folder(folder, (CONFIG, STATE, DIGESTS))
    with closing(files):
        try:
            digests = read_digests(files)
        except RecordError as error:
            yield str(folder / DIGESTS), str(error)
            digests = {}
        file_names = [*digests]
        for name in (CONFIG, STATE):
            try:
                check_texts(files, name)
                tree = files.tree(name)
            except (RecordError, ConfigSyntaxError, FileNotFoundError) as error:
                is_missing = isinstance(error, FileNotFoundError)
                yield str(folder / name), "it is missing" if is_missing else str(error)
            else:
                file_names += blob_files(tree)
        yield from _wrong_records(folder, files, dict.fromkeys(file_names), digests)


def _wrong_records(
    folder: Path,
    files: StoredFiles,
    names: Mapping[str, object],
    digests: Mapping[str, str],
) -> Iterator[tuple[str, str]]:
    for name in names:
        file = str(folder / name)
        if not files.has(name):
            yield file, "it is missing, but was saved with this checkpoint"
        elif name in digests and _digest(Path(file)) not in (digests[name], "damaged"):
            text = (
                "it is not the file that was saved with this checkpoint, according "
                f"to {DIGESTS}"
            )
            yield file, f"{text}; remove its line there if you replaced it on purpose"


def _problems_of_settings(
    folder: str, names: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield problems of the configuration beside weights."""
    file = os.path.join(folder, PRETRAINED_CONFIG)
    # A folder of that name is in the way, and is not among the files.
    if os.path.lexists(file) and any(kind in names for kind in KINDS):
        try:
            read_config(file)
        except (RecordError, OSError) as error:
            raise_of_signal(error)
            yield file, str(error)


def _lost_indexes(folder: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield indexes that are missing although their shards or parts exist."""
    shards = [match[1] for name in names if (match := _SHARD.fullmatch(name))]
    indexes = {f"{stem}.safetensors.index.json" for stem in shards}
    if not is_record_folder(folder) and any(map(save_id_of, names)):
        indexes.add(RECORD_INDEX)
    for index in sorted(indexes.difference(names)):
        text = "the index is missing, but parts that it should list are there"
        yield os.path.join(folder, index), text
