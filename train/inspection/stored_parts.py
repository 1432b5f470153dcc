"""Any source as records with names: a file, or a folder of any kind."""

import errno
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...config.process.interrupts import raise_of_signal, suppressed
from ...config.storage.opening import looks
from ...core.pretrained.pretrained_folder import CONFIG, KINDS, read_folder
from ...core.pretrained.shards import INDEX, open_shards
from ...records.errors import RecordError
from ...records.flat_record import FlatRecord
from ...records.format_names import format_of_suffix, suffix_of, suffixes
from ...records.io.remote.address import size_at, without_secrets
from ...records.io.remote.stored_folder import StoredFolder
from ...records.io.remote.url import Place, Url, path_or_url
from ...records.open import open_record
from ...records.readable import Readable
from ...records.sharded.folder import is_record_folder
from ...records.sharded.shard_index import INDEX as RECORD_INDEX
from ...records.source_errors import folder_error, lacks_checkpoints
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.checkpoints import Checkpoints
from ..checkpoints.folders import LATEST
from ..checkpoints.manifest import FILE as MANIFEST
from ..checkpoints.rereading import reread_if_replaced
from ..hyperstate.state_folders import state_folders
from ..hyperstate.stored_files import STATE, StoredFiles
from .folder_problems import problems_of_run
from .named_records import StoredPart, StoredParts
from .stored_files import files_of_record, is_passing


def stored_parts(
    source: Readable, *, verify: bool = True, skips_unreadable: bool = False
) -> StoredParts:
    """Return the records in ``source``, none of whose tensors is read yet.

    It is anything that `open_record` takes, or a folder: pretrained, with shards or
    without; a checkpoint, or a run, of which the newest one is opened; a folder of
    records. A URL may be a checkpoint, a run or a folder with shards. Raises
    `RecordError` for damage, and OSError for a missing source or a folder without
    records. ``skips_unreadable`` leaves out files of a folder that cannot be read, as
    long as others can; their errors are in the result.
    """
    parts = _stored_parts(source, verify)
    if parts.unreadable and not (skips_unreadable and parts.parts):
        parts.close()
        raise parts.unreadable[0]
    return parts


def _stored_parts(source: Readable, verify: bool) -> StoredParts:
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        place = path_or_url(path)
        if isinstance(place, Url) and _may_be_folder(path, place):
            return _in_storage(place, verify)
        if os.path.isdir(path) and not is_record_folder(path):
            return _in_folder(Path(os.fsdecode(path)), verify)
        if path.endswith(INDEX):
            folder = os.path.dirname(path) or "."
            record = open_shards(folder, path, verify=verify)
            return StoredParts(path, "shards", [StoredPart("", path, record)])
    return _record(source, verify)


def files_behind(url: str) -> list[str]:
    """Return the record files at a URL: the object itself, or those of a folder.

    Of a run they are those of its newest checkpoint. Raises as `stored_parts`.
    """
    place = path_or_url(url)
    if not isinstance(place, Url) or not _may_be_folder(url, place):
        return [url]
    with stored_parts(url, verify=False) as source:
        return [
            file for part in source.parts for file in files_with_values(part.record)
        ]


def files_with_values(record: FlatRecord) -> list[str]:
    """Return the files of a record to verify; an index of parts reads its parts."""
    file, *value_files = files_of_record(record)
    return value_files if file.endswith(INDEX) else [file]


def _record(source: Readable, verify: bool) -> StoredParts:
    record = open_record(source, verify=verify)
    file = record.reading.file
    return StoredParts(file, "record", [StoredPart("", file, record)])


def _in_folder(folder: Path, verify: bool) -> StoredParts:
    for is_last in looks():
        try:
            return _of_one_save(folder, lambda: _in_folder_of_now(folder, verify))
        except (FileNotFoundError, IsADirectoryError) as error:
            if is_last or not (folder.is_dir() and _is_passing(error, folder)):
                raise
    raise AssertionError("unreachable")


def _is_passing(error: OSError, folder: Path) -> bool:
    """Return whether the error may be due to a run that is writing."""
    if isinstance(error, FileNotFoundError):
        # A running writer has removed the checkpoint that was the newest.
        return not os.path.lexists(os.path.dirname(error.filename or ""))
    # The only checkpoint was moved aside when names were listed, and is back.
    return any(is_there(folder) for is_there, _ in _READERS)


def _of_one_save(folder: Place, read: Callable[[], StoredParts]) -> StoredParts:
    """Return the result of ``read`` for a folder that a run may replace, or remove.

    FileNotFoundError once it is gone, whatever was read of it.
    """
    try:
        return reread_if_replaced(folder, read, StoredParts.close)
    except (OSError, RecordError) as error:
        raise_of_signal(error)
        if isinstance(folder, Path) and not os.path.lexists(folder):
            place = str(folder / MANIFEST)
            raise FileNotFoundError(
                errno.ENOENT, os.strerror(errno.ENOENT), place
            ) from error
        raise


def _in_folder_of_now(folder: Path, verify: bool) -> StoredParts:
    for is_there, read in _READERS:
        if is_there(folder):
            return read(folder, verify)
    return _records_in(folder, verify)


def _may_be_folder(text: str, url: Url) -> bool:
    """Return whether a URL names no object; not requested where its name decides."""
    if text.endswith("/"):
        return True
    return format_of_suffix(url.name) is None and size_at(url) is None


def _in_storage(folder: Url, verify: bool) -> StoredParts:
    if size_at(folder / RECORD_INDEX) is not None:
        return _record(f"{folder}/", verify)
    for is_there, read in _READERS:
        if is_there(folder):
            return read(folder, verify)
    raise FileNotFoundError(
        errno.ENOENT,
        "there is no record and no checkpoint: expected an object, or "
        f"{RECORD_INDEX}, {MANIFEST}, {STATE}, {INDEX} or a run below",
        without_secrets(folder),
    )


def _checkpoint(folder: Place, verify: bool) -> StoredParts:
    # Its files are shown relative to the folder that was named, not to the root.
    checkpoint = replace(Checkpoint.read(folder), folder=folder)
    rows = checkpoint.manifest.parts
    parts, errors = _opened(
        [(name, checkpoint.file(name)) for name in rows],
        verify,
        {name: row.kind for name, row in rows.items()},
    )
    manifest = checkpoint.manifest
    facts: dict[str, Any] = {"step": manifest.step, "values": dict(manifest.values)}
    if manifest.info:
        facts["info"] = manifest.info
    return StoredParts(str(folder), "checkpoint", parts, facts, unreadable=errors)


def _run(folder: Place, verify: bool) -> StoredParts:
    checkpoints = Checkpoints(folder)
    if not checkpoints.steps:
        return _named_checkpoints(folder, verify)
    place = folder / checkpoints["latest"].folder.name
    newest = _of_one_save(place, lambda: _checkpoint(place, verify))
    newest.facts["run"], newest.facts["steps"] = str(folder), checkpoints.steps
    _add_problems(newest, folder)
    return newest


def _named_checkpoints(folder: Place, verify: bool) -> StoredParts:
    """Return the newest of checkpoints without steps in their names, as Lightning's.

    Of those of one step it is ``last``.
    """
    places = [folder / name for name in _folders_with(MANIFEST, folder)]
    if not places:
        raise folder_error(str(folder))  # since they were listed, they were removed
    steps = {
        place: reread_if_replaced(place, partial(_step_of, place)) for place in places
    }
    places.sort(key=lambda place: (steps[place], place.name == "last", place.name))
    newest = _of_one_save(places[-1], lambda: _checkpoint(places[-1], verify))
    newest.facts["run"] = str(folder)
    newest.facts["steps"] = [place.name for place in places]
    return newest


def _step_of(folder: Place) -> int:
    return Checkpoint.read(folder).step


def _fit_run(folder: Place, verify: bool) -> StoredParts:
    return _named_checkpoints(folder / _OF_FIT, verify)


def _hyperstate(folder: Place, verify: bool) -> StoredParts:
    stored_files = StoredFiles(folder)
    files = [
        (name.removesuffix(suffix_of(name, suffixes())), stored_files.place(name))
        for name in _names_in(folder)
        if format_of_suffix(name) is not None
    ]
    texts = [n for n in ("config.ron", STATE) if size_at(folder / n) is not None]
    parts, errors = _opened(files, verify)
    return StoredParts(
        str(folder),
        "hyperstate",
        parts,
        {"texts": texts},
        _held_texts(folder, texts),
        errors,
    )


def _held_texts(folder: Place, names: Sequence[str]) -> StoredFiles | None:
    """Return the texts of a folder now, since a run may remove them later.

    None for those of a storage, and for unreadable ones: reading them later raises the
    error.
    """
    texts: StoredFiles | None = None
    if isinstance(folder, Path):
        with suppressed(OSError):
            texts = StoredFiles.of_folder(folder, names)
            texts.close()
    return texts


def _hyperstate_run(folder: Place, verify: bool) -> StoredParts:
    states = _folders_with(STATE, folder)
    match = re.match(r"(\D+)\d{12}", states[-1])
    if isinstance(folder, Url) and match:
        by_number = state_folders(folder, match[1].removeprefix(LATEST)).by_number()
        states = [place.name for place in by_number.values()]
    latest = [name for name in states if name.startswith(LATEST)] or states
    place = folder / latest[-1]
    newest = _of_one_save(place, lambda: _hyperstate(place, verify))
    newest.facts["run"], newest.facts["steps"] = str(folder), states
    _add_problems(newest, folder)
    return newest


def _add_problems(newest: StoredParts, folder: Place) -> None:
    """Show with the newest whole checkpoint why the run does not resume from it."""
    if isinstance(folder, Url):
        return  # its index lists the parts that count
    problems = [text for _, text in problems_of_run(str(folder), os.listdir(folder))]
    if problems:
        newest.facts["problems"] = problems


def _pretrained(folder: Place, verify: bool) -> StoredParts:
    content = read_folder(str(folder), verify=verify)
    record = content.record
    part = StoredPart("", record.reading.file, record)
    facts = {"config": content.config}
    return StoredParts(str(folder), "pretrained folder", [part], facts)


def _shards(folder: Place, verify: bool) -> StoredParts:
    index = str(folder / INDEX)
    record = open_shards(str(folder), index, verify=verify)
    return StoredParts(str(folder), "shards", [StoredPart("", index, record)])


def _records_in(folder: Path, verify: bool) -> StoredParts:
    names = [n for n in sorted(os.listdir(folder)) if _may_be_record(folder / n)]
    is_bare_run = lacks_checkpoints(str(folder))
    # A run has texts in JSON, which are not records.
    if not names or (is_bare_run and all(name.endswith(".json") for name in names)):
        raise folder_error(str(folder))
    parts, errors = _opened([(name, folder / name) for name in names], verify)
    return StoredParts(str(folder), "folder", parts, unreadable=errors)


def _may_be_record(file: Path) -> bool:
    is_settings = file.name.endswith("config.json") or file.name.startswith("tokenizer")
    return (
        file.is_file() and not is_settings and format_of_suffix(file.name) is not None
    )


def _opened(
    files: Iterable[tuple[str, Place]],
    verify: bool,
    kinds: Mapping[str, str] | None = None,
) -> tuple[list[StoredPart], list[Exception]]:
    """Return the files that can be read, opened, and the errors of the others."""
    parts: list[StoredPart] = []
    errors: list[Exception] = []
    with ExitStack() as opened:
        for name, file in files:
            try:
                record = opened.enter_context(open_record(file, verify=verify))
            except (RecordError, OSError) as error:
                raise_of_signal(error)
                errors.append(error)
                continue
            parts.append(
                StoredPart(name, str(file), record, (kinds or {}).get(name, ""))
            )
        opened.pop_all()
    return parts, errors


def _names_in(folder: Place) -> list[str]:
    """Return the names of everything in a folder, sorted."""
    if isinstance(folder, Url):
        return sorted({name.partition("/")[0] for name in StoredFolder(folder).files()})
    return sorted(os.listdir(folder))


def _folders_with(name: str, folder: Place) -> list[str]:
    """Return the names of the folders in ``folder`` that have a file ``name``."""
    if isinstance(folder, Url):
        files = (file.split("/") for file in StoredFolder(folder).files())
        return sorted(file[0] for file in files if file[1:] == [name])
    names = (file.parent.name for file in folder.glob(f"*/{name}"))
    return sorted(name for name in names if not is_passing(str(folder), name))


def _has(*names: str) -> Callable[[Place], bool]:
    return lambda folder: any(size_at(folder / name) is not None for name in names)


def _has_below(name: str, place: str = "") -> Callable[[Place], bool]:
    return lambda folder: bool(_folders_with(name, folder / place if place else folder))


_OF_FIT = "checkpoints"
"""The folder of the checkpoints in a run of ``burnish fit``."""


def _is_pretrained(folder: Place) -> bool:
    # Its reader accepts only folders of this machine.
    return isinstance(folder, Path) and _has(CONFIG)(folder) and _has(*KINDS)(folder)


_READERS: Sequence[
    tuple[Callable[[Place], bool], Callable[[Place, bool], StoredParts]]
] = (
    (_has(MANIFEST), _checkpoint),
    (_has(STATE), _hyperstate),
    (_is_pretrained, _pretrained),
    (_has(INDEX), _shards),
    (_has_below(MANIFEST), _run),
    (_has_below(MANIFEST, _OF_FIT), _fit_run),
    (_has_below(STATE), _hyperstate_run),
)
"""Kinds of folders, the most specific first."""
