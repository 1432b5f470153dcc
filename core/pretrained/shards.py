"""Weights in several files with an index, in the ecosystem's layout."""

import dataclasses
import errno
import json
import os
import re
import secrets
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from stat import S_ISREG
from typing import Any

from ...config.process.interrupts import suppressed
from ...config.spelling import did_you_mean
from ...config.storage.opening import open_folder
from ...config.storage.scratch import any_scratch, find_abandoned, lock, unlock
from ...records.entries.entries import (
    check_before_rewriting,
    check_gaps,
    set_source,
    with_parts,
)
from ...records.entries.entry import Entry
from ...records.entries.nodes import unique_map
from ...records.errors import RecordFormatError
from ...records.flat_record import FlatRecord
from ...records.header.metadata import check_metadata
from ...records.io.progress import PartsProgress, Progress, progress_call
from ...records.io.remote.address import is_taken, is_url
from ...records.io.remote.stored_folder import StoredFolder, read_place, write_place
from ...records.io.remote.url import Url, path_or_url
from ...records.io.source import Maps
from ...records.open import open_record
from ...records.precision import Precision, PrecisionLike
from ...records.recorder import Recorder
from ...records.writing.payload import stored_size

INDEX = "model.safetensors.index.json"

OUR_SHARD = re.compile(r"model(-[0-9a-f]{8})?-\d{5}-of-\d{5}\.safetensors")
"""The names that `write_shards` uses; no other library uses those with a group."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")
_UNITS = {
    "": 1,
    "B": 1,
    **{"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
    **{"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40},
}
_MAX_INDEX = 256 << 20


def size_of(text: int | str) -> int:
    """Return the bytes that ``5_000_000``, ``"5MB"`` or ``"5 GiB"`` denote."""
    if isinstance(text, int) and not isinstance(text, bool) and text > 0:
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(text))
    if match is None or match[2].upper() not in _UNITS or not float(match[1]):
        raise ValueError(
            "max_shard_size must be a number of bytes, or a string such as '5GB' or "
            f"'500MiB', got {text!r}"
        )
    return int(float(match[1]) * _UNITS[match[2].upper()])


def entries_by_shard(
    record: FlatRecord, most: int, precision: PrecisionLike
) -> list[list[Entry]]:
    """Return the entries in groups of at most ``most`` bytes, one entry at least."""
    entries = [entry for entry in record.entries() if entry.kind != "transient"]
    sizes = _stored_sizes(record, entries, precision)
    shards: list[list[Entry]] = [[]]
    filled = 0
    for entry, size in zip(entries, sizes, strict=True):
        if shards[-1] and filled + size > most:
            shards.append([])
            filled = 0
        shards[-1].append(entry)
        filled += size
    return shards


def _stored_sizes(
    record: FlatRecord, entries: list[Entry], precision: PrecisionLike
) -> list[int]:
    dtypes = Precision.of(precision).of_record(record).stored_dtypes(entries)
    return [stored_size(e, dtype) for e, dtype in zip(entries, dtypes, strict=True)]


@contextmanager
def only_writer(folder: str) -> Generator[None]:
    """Let one program at a time write shards into the existing ``folder``.

    Others wait for its end: they would use the same file names, or remove files that no
    index names yet. Unfinished files of killed writers are removed. OSError if another
    writer does not finish. Writers behind a URL are not seen.
    """
    if is_url(folder):
        yield
        return
    opened = open_folder(folder)
    end = time.monotonic() + _MOST_SECONDS
    try:
        while not lock(opened):
            if time.monotonic() > end:
                raise OSError(
                    errno.EBUSY,
                    f"another program has been writing here for {_MOST_SECONDS} "
                    "seconds; end it, or write to another folder",
                    folder,
                )
            time.sleep(_PAUSE)
        for name in find_abandoned(opened, any_scratch(OUR_SHARD.pattern), S_ISREG):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=opened.fd)
        yield
    finally:
        unlock(opened)
        opened.close()


_MOST_SECONDS, _PAUSE = 600, 0.05


def write_shards(
    record: FlatRecord,
    shards: Sequence[Sequence[Entry]],
    folder: str,
    *,
    precision: PrecisionLike,
    progress: Progress | None = None,
) -> list[str]:
    """Write the shards and then the index; return the names of the files.

    No file that an index names is overwritten: until the new index replaces the old
    one, the folder is unchanged, and new files are removed if anything fails. It may be
    a URL. The caller is its `only_writer`.
    """
    chosen = Precision.of(precision)
    chosen.warn_of_unmatched(record)
    names = _names(folder, len(shards))
    total = sum(_stored_sizes(record, [*chain(*shards)], precision))
    progresses = PartsProgress(progress_call(progress), total)
    try:
        for name, part in zip(names, _parts(record, shards), strict=True):
            writer = Recorder("safetensors", precision=chosen.within(part))
            file = os.path.join(folder, name)
            writer.save(part, file, progress=progresses.of_next())
        _write_index(folder, record, dict(zip(names, shards, strict=True)), total)
    except BaseException:
        _remove_unlisted(folder, names)
        raise
    return names


def _parts(
    record: FlatRecord, shards: Sequence[Sequence[Entry]]
) -> Iterator[FlatRecord]:
    """Yield the record of each shard; plain data is in the first."""
    for i, entries in enumerate(shards):
        tree = record.tree if i == 0 else {}
        yield with_parts(record, entries=list(entries), tree=tree, metadata={})


def _write_index(
    folder: str, record: FlatRecord, shards: Mapping[str, Sequence[Entry]], total: int
) -> None:
    shard_of = {
        # The library stores a tied tensor under the first of its names in order.
        min((e.path, *e.ties)): name
        for name, entries in shards.items()
        for e in entries
    }
    index = {
        "metadata": {"total_size": total, **record.metadata},
        "weight_map": dict(sorted(shard_of.items())),
    }
    write_place(path_or_url(os.path.join(folder, INDEX)), json.dumps(index, indent=2))


def _remove_unlisted(folder: str, names: Iterable[str]) -> None:
    """Remove shards unless the index names them, in case of Ctrl-C right after that.

    A storage that is gone must not hide the error that has led here.
    """
    index = os.path.join(folder, INDEX)
    with suppressed(OSError, RecordFormatError):
        listed = shard_names(read_shard_index(index)) if is_taken(index) else ()
        remove_shards(folder, set(names).difference(listed))


def remove_shards(folder: str, names: Iterable[str]) -> None:
    """Remove these files of a folder, which may be a URL, if they exist."""
    if is_url(folder):
        StoredFolder(Url(folder)).remove(names)
        return
    for name in names:
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, name))


def shard_names(index: Mapping[str, Any]) -> list[str]:
    """Return the files that a checked index names, each once."""
    return list(dict.fromkeys(index["weight_map"].values()))


def read_shard_index(file: str) -> dict[str, Any]:
    """Return the content of an index: a ``weight_map`` of names, and ``metadata``.

    Raises `RecordFormatError` for other content, and for a shard that is anything but a
    plain file name.
    """
    content = read_place(path_or_url(file), _MAX_INDEX)
    if len(content) > _MAX_INDEX:
        raise RecordFormatError(
            file, f"over {_MAX_INDEX:,} bytes", "an index of shards"
        )
    try:
        index: Any = json.loads(content, object_pairs_hook=unique_map)
    except (ValueError, RecursionError) as error:
        raise RecordFormatError(file, f"no JSON: {error!s:.120}") from error
    if not isinstance(index, dict):
        raise RecordFormatError(file, "no map", "an index of shards")
    weight_map: Any = index.get("weight_map")
    if not isinstance(weight_map, dict):
        raise RecordFormatError(file, "no 'weight_map'", "an index of shards")
    for name in weight_map.values():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
            raise RecordFormatError(
                file, f"the shard {name!r:.80}", "the name of a file in the same folder"
            )
    index.setdefault("metadata", {})
    check_metadata(index["metadata"], file)
    return index


def open_shards(folder: str, file: str, **options: Any) -> FlatRecord:
    """Return one record over all the shards that the index ``file`` names."""
    index = read_shard_index(file)
    parts = [
        open_record(os.path.join(folder, name), **options)
        for name in shard_names(index)
    ]
    if not parts:
        raise RecordFormatError(file, "an index without shards")
    entries = [entry for part in parts for entry in part.entries()]
    _check_same(index["weight_map"], parts, file)
    metadata = {k: v for k, v in index["metadata"].items() if k != "total_size"}
    tree = {path: node for part in parts for path, node in (part.tree or {}).items()}
    reading = dataclasses.replace(parts[0].reading, file=file)
    joined = with_parts(
        parts[0], entries=entries, tree=tree, metadata=metadata, reading=reading
    )
    has_sums = all(part.verified != "none" for part in parts)
    set_source(
        joined,
        _Joined(parts, file),
        partial(_check_all, parts),
        has_sums=has_sums,
        check_before_rewriting=partial(_check_all_before_rewriting, parts),
    )
    return joined


def _check_all(parts: Sequence[FlatRecord], maps: Maps) -> None:
    for part in parts:
        check_gaps(part, maps)


def _check_all_before_rewriting(parts: Sequence[FlatRecord]) -> None:
    for part in parts:
        check_before_rewriting(part)


def _check_same(
    weight_map: Mapping[str, str], parts: Sequence[FlatRecord], file: str
) -> None:
    """Raise for a tensor that only the index or a shard has, or two shards have."""
    names_in_shards: set[str] = set()
    for part in parts:
        names = {path for e in part.entries() for path in (e.path, *e.ties)}
        if names & names_in_shards:
            twice = min(names & names_in_shards)
            raise RecordFormatError(file, f"{twice!r:.120} is in two of its shards")
        names_in_shards |= names
    for name in weight_map.keys() - names_in_shards:
        hint = did_you_mean(name, names_in_shards)
        raise RecordFormatError(
            file, f"{name!r:.120} is in none of its shards", cure=hint.strip()
        )
    unlisted = [e for p in parts for e in p.entries() if not _is_listed(e, weight_map)]
    if unlisted:
        raise RecordFormatError(
            file,
            f"a shard has {unlisted[0].path!r:.120}, which the index does not list",
        )


def _is_listed(entry: Entry, weight_map: Mapping[str, str]) -> bool:
    return any(path in weight_map for path in (entry.path, *entry.ties))


def _names(folder: str, n_shards: int) -> list[str]:
    """Return unused file names: the usual ones, or else with a random part."""
    for tag in ("", f"-{secrets.token_hex(4)}"):
        names = [
            f"model{tag}-{i:05}-of-{n_shards:05}.safetensors"
            for i in range(1, n_shards + 1)
        ]
        if not any(is_taken(os.path.join(folder, name)) for name in names):
            break
    return names


class _Joined:
    """The sources of several records as one."""

    def __init__(self, parts: Sequence[FlatRecord], file: str) -> None:
        self._parts, self.name = parts, file
        self.size = 0
        self.verify = True

    def read(self, offset: int, count: int) -> memoryview:
        """Announce that bytes are read from the shards."""
        raise RecordFormatError(self.name, "an index, which has no values")

    view = read

    def mapped(self) -> "_Joined":
        """Return itself: each shard is mapped when one of its entries is read."""
        return self

    def close(self) -> None:
        """Close every shard."""
        for part in self._parts:
            part.close()
