"""A stored record converted to another form, streamed, without losses."""

import errno
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from ...config.patterns import Patterns
from ...config.short_text import first_names
from ...config.storage.missing import missing_file
from ...config.storage.replacement import new_folder
from ...core.evolution.record_check import upgrade_file
from ...core.evolution.record_schema import Target
from ...core.pretrained.pretrained_folder import KINDS
from ...core.pretrained.shards import (
    INDEX,
    OUR_SHARD,
    entries_by_shard,
    only_writer,
    read_shard_index,
    remove_shards,
    shard_names,
    size_of,
    write_shards,
)
from ...records.entries.select import check_any_chosen
from ...records.errors import RecordError
from ...records.flat_record import FlatRecord
from ...records.format import format_named
from ...records.format_names import format_of_suffix
from ...records.io.progress import Progress
from ...records.io.remote.address import is_taken, is_url
from ...records.open import open_record
from ...records.precision import PrecisionLike
from ...records.record_writer import no_format_in
from ...records.sharded.folder import is_record_folder
from ...records.sharded.saving import save_record_to
from ...records.sharded.shard_index import INDEX as FOLDER_INDEX
from ...records.sharded.splitting import split_record
from ...records.source_errors import names_a_record
from .named_records import StoredParts
from .stored_parts import stored_parts


def convert_file(
    source: str,
    target: str,
    *,
    precision: PrecisionLike = None,
    only: Patterns | None = None,
    exclude: Patterns | None = None,
    rename: Mapping[str, str] | None = None,
    shards: int | str | None = None,
    upgrade: Target | None = None,
    is_replacing: bool = False,
    weights_only: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write the record in ``source`` to ``target``; return its number of entries.

    The suffix of ``target`` is its format; with ``shards``, the maximal bytes of a
    file, it is a folder of safetensors. ``upgrade`` applies the rules of a class first.
    With ``weights_only``, only the state dict of a torch file is converted. Raises
    `RecordError` for content that the format cannot hold, naming it; FileExistsError
    for an existing target, unless ``is_replacing``.
    """
    if shards is None:
        _check_free(target, is_replacing)
    if upgrade is not None:
        _check_alone(only, exclude, rename, shards, precision)
        upgrade_file(source, upgrade, target, progress)
        with open_record(target) as target_record:
            return len(target_record.entries())
    with stored_parts(source) as parts:
        part = _only_record(parts)
        if not weights_only:
            _check_nothing_beside(part)
        record = open_record(part, only=only, exclude=exclude, rename=rename)
        if _size(part) and not _size(record):
            check_any_chosen(_size(part), only, exclude)
        if shards is not None:
            _write_shards(record, target, shards, precision, progress, is_replacing)
        else:
            _check_nothing_lost(record, target)
            # Not record.save(), which warns of what --weights-only has asked for.
            save_record_to(record, target, precision=precision, progress=progress)
        return len(record.entries())


def consolidate_folder(
    folder: str,
    target: str,
    *,
    is_replacing: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write the record in a folder to one file; return its number of entries.

    A few rows are in memory at a time. RecordError for a folder that several processes
    did not write; otherwise as `convert_file`.
    """
    if not is_url(folder) and not os.path.lexists(folder):
        raise missing_file(folder, names_a_record, "a record")
    is_remote = is_url(folder) and _holds_anything(folder)
    if not (is_remote or is_record_folder(folder)):
        raise RecordError(
            f"{folder} has no {FOLDER_INDEX}, which a record written by several "
            "processes has. To convert anything else, such as a pretrained "
            f"folder, to one file: burnish convert {shlex.quote(folder)} "
            f"{shlex.quote(target)}"
        )
    source = f"{folder.rstrip('/')}/" if is_remote else folder
    return convert_file(source, target, is_replacing=is_replacing, progress=progress)


def shard_file(
    source: str,
    folder: str,
    n_parts: int,
    *,
    is_replacing: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write a record into a folder of parts, which any number of processes loads.

    Returns the number of entries. FileExistsError for a non-empty folder, unless
    ``is_replacing``; then files that are not a record's stay.
    """
    if not folder:
        raise ValueError("the name of the folder is empty; use . for the current one")
    if os.path.isfile(folder):
        raise NotADirectoryError(
            errno.ENOTDIR, "found a file, expected a folder", folder
        )
    if not is_replacing and _holds_anything(folder):
        raise FileExistsError(
            errno.ENOTEMPTY, "the folder is not empty; --force writes into it", folder
        )
    _check_no_other_weights(folder, KINDS)
    with stored_parts(source) as parts:
        record = _only_record(parts)
        _check_nothing_beside(record, has_weights_only=False)
        if is_record_folder(source):
            raise RecordError(
                f"{source} is already a folder of parts, which any number of "
                "processes can load; burnish consolidate merges it into one file"
            )
        with _folder_for(folder):
            split_record(record, folder, n_parts, progress)
        return len(record.entries())


def _check_free(target: str, is_replacing: bool) -> None:
    """Raise an OSError if ``target`` is a file that must stay, or a folder."""
    if os.path.isdir(target):
        raise IsADirectoryError(
            errno.EISDIR, "found a folder, but one file is written; name a file", target
        )
    if is_taken(target) and not is_replacing:
        raise FileExistsError(
            errno.EEXIST, "the file already exists; --force replaces it", target
        )


def _size(record: FlatRecord) -> int:
    return len(record.entries()) + len(record.tree or ())


def _holds_anything(folder: str) -> bool:
    """Return whether a folder has files; at a URL, whether a record is there."""
    if is_url(folder):
        return is_taken(f"{folder.rstrip('/')}/{FOLDER_INDEX}")
    return os.path.isdir(folder) and bool(os.listdir(folder))


def _only_record(source: StoredParts) -> FlatRecord:
    """Return the state dict to write, or raise a RecordError if there are several."""
    if len(source.parts) == 1:
        return source.parts[0].record
    files = first_names([part.file for part in source.parts], 6)
    raise RecordError(
        f"{source.source} holds {len(source.parts)} records, but one is needed: "
        f"name one of its files, {files}"
    )


def _check_nothing_beside(record: FlatRecord, *, has_weights_only: bool = True) -> None:
    """Raise RecordError for other content of a torch file than its state dict.

    ``has_weights_only`` is whether the command has this option, which convert has.
    """
    beside = record.reading.beside
    command = "" if has_weights_only else "burnish convert FILE NEW.mpk "
    if beside:
        raise RecordError(
            f"{record.reading.file} holds more than a state dict, which is all that is "
            f"read from torch files: {first_names(beside, 8)} would be lost. "
            f"{command}--weights-only writes only the state dict; torch.load(file, "
            "weights_only=True) reads the rest, and burnish.save_record can store it"
        )


def _check_alone(*others: object) -> None:
    if any(option is not None for option in others):
        raise ValueError(
            "--upgrade cannot be combined with other options, since its rules "
            "apply to the whole record. Convert its output in a second step"
        )


def _check_nothing_lost(record: FlatRecord, target: str) -> None:
    """Raise RecordError, which names them, for entries that the format omits."""
    names = format_of_suffix(target)
    if names is None:
        raise ValueError(no_format_in(target))
    form = format_named(names[0])
    lost = [e.path for e in record.entries() if e.kind in form.omits]
    if lost:
        raise RecordError(
            f"{form.name} files hold no non-persistent buffers (persistent=False), so "
            f"{len(lost)} of them would be lost: {first_names(lost, 6)}. Leave them "
            "out with --exclude, or write .mpk"
        )


def _write_shards(
    record: FlatRecord,
    folder: str,
    most: int | str,
    precision: PrecisionLike,
    progress: Progress | None,
    is_replacing: bool,
) -> None:
    if record.is_typed:
        raise RecordError("only records of modules are written in shards")
    _check_nothing_lost(record, "x.safetensors")
    groups = entries_by_shard(record, size_of(most), precision)
    if not any(groups):
        raise RecordError(
            f"{record.reading.file} has no tensors, but shards are files of tensors; "
            "write one file, without --shards"
        )
    with _folder_for(folder), only_writer(folder):
        old_shards = _shards_to_replace(folder, is_replacing)
        write_shards(record, groups, folder, precision=precision, progress=progress)
        remove_shards(folder, old_shards)


def _folder_for(folder: str) -> AbstractContextManager[None]:
    """Return a context in which ``folder`` exists; a URL has no folders."""
    return nullcontext() if is_url(folder) else new_folder(folder)


def _shards_to_replace(folder: str, is_replacing: bool) -> list[str]:
    """Return our existing shards in this folder, which new ones replace.

    FileExistsError for a non-empty folder, unless ``is_replacing``; then for other
    weights, which readers could mistake for these.
    """
    index = os.path.join(folder, INDEX)
    has_shards = is_taken(index)
    if not is_replacing:
        is_filled = has_shards if is_url(folder) else _holds_anything(folder)
        if is_filled:
            raise FileExistsError(errno.ENOTEMPTY, _in_the_way(has_shards), folder)
    other_weights = {*KINDS, FOLDER_INDEX} - {INDEX}
    _check_no_other_weights(folder, sorted(other_weights))
    indexed_names = set[str]()
    if has_shards:
        indexed_names.update(shard_names(read_shard_index(index)))
    # Shards of a group that no index names were left by a killed writer.
    file_names = [] if is_url(folder) else os.listdir(folder)
    matches = map(OUR_SHARD.fullmatch, sorted({*indexed_names, *file_names}))
    return [m[0] for m in matches if m and (m[0] in indexed_names or m[1])]


def _in_the_way(has_shards: bool) -> str:
    if has_shards:
        return "shards already exist; --force replaces them"
    return "the folder is not empty; --force adds the shards to it"


def _check_no_other_weights(folder: str, names: Sequence[str]) -> None:
    """Raise FileExistsError for weights in another form: a folder is one model."""
    for name in names:
        file = os.path.join(folder, name)
        if is_taken(file):
            raise FileExistsError(
                errno.EEXIST,
                "the folder holds weights in another form, but a folder is read as "
                "one model; remove them, or write into another folder",
                file,
            )
