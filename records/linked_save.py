"""save_linked: a record in a file, with links to older files for unchanged content.

A file of `save_linked` is either a whole record, or an index (docs/format.md) of whole
records beside it, named after their content. Those are never changed, and folders share
them by hard links: each folder stays complete whatever happens to the others.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
import xxhash

from ..config.process.interrupts import raise_of_signal
from ..config.process.log import LOG
from .entries.entries import check_gaps
from .errors import RecordError
from .header.file_index import FileIndex, NamedFile, Place
from .io.lazy_payload import LazyPayload
from .io.source import Maps
from .open import digest_of
from .readable import entries_in
from .record_writer import WritableRecord
from .writing.contents import Contents

LEAST = 1 << 16
"""Minimal number of bytes for a file of its own."""

MOST_FILES = 16
"""Maximal number of linked files per record; the smallest are written again."""


@dataclass(slots=True)
class Linked:
    """What a save did not need to write."""

    n_bytes: int = 0
    """Bytes of the payloads that are in older files."""
    problem: OSError | None = None
    """Why older files could not be linked, so that their content was written."""
    files: list[Path] = field(default_factory=list[Path])
    """The files beside the index; empty if the record is in one file."""


def save_linked(record: WritableRecord, file: Path, earlier: Path | None) -> Linked:
    """Write ``record`` to ``file``, with links to the unchanged parts of ``earlier``.

    An entry is unchanged if its path, dtype, shape, length and checksum are those in
    the older file, which is in another folder of the same file system. Where that
    cannot be linked, everything is written. ``file`` and its links appear one by one.
    """
    known_rows = _known_rows(earlier) if earlier is not None else {}
    save = _LinkedSave(record, file)
    if known_rows:
        save.link_unchanged(known_rows)
    save.write()
    return save.linked


def copy_linked(file: Path, target: Path) -> None:
    """Copy a file of `save_linked`, with the files that it refers to, unchanged.

    Those are linked where possible. FileNotFoundError if the file no longer exists.
    """
    shutil.copyfile(file, target)
    stem, suffix = _parts_of(file.name)
    for beside in file.parent.glob(f"{stem}.{'[0-9a-f]' * 16}{suffix}"):
        linked_file = target.with_name(beside.name)
        try:
            os.link(beside, linked_file)
        except OSError as error:
            raise_of_signal(error)
            shutil.copyfile(beside, linked_file)


class _Row(NamedTuple):
    """An older file's description of a payload."""

    file: Path
    offset: int
    sum: bytes
    dtype: torch.dtype
    shape: tuple[int, ...]
    is_planes: bool


class _LinkedSave:
    """One save, which assigns rows to files."""

    def __init__(self, record: WritableRecord, file: Path) -> None:
        self.linked = Linked()
        self._record, self._file = record, file
        self._entries = record.entries.entries()
        self._contents: Contents | None = None
        self._index = FileIndex([], [Place(0, 0, b"")] * len(self._entries))
        self._groups: list[list[int]] = [[*range(len(self._entries))]]
        """Numbers of the rows that still need writing, a list for each file."""

    def link_unchanged(self, known_rows: Mapping[str, _Row]) -> None:
        """Link the files that are mostly unchanged; group the rows to write."""
        self._contents = self._record.contents()
        self._contents.hash_ahead()
        unchanged = self._unchanged(known_rows)
        by_file: dict[Path, list[int]] = {}
        for i, row in unchanged.items():
            by_file.setdefault(row.file, []).append(i)
        linked: set[int] = set()
        for file in self._worthwhile(by_file):
            if self._link(file, by_file[file], unchanged):
                linked.update(by_file[file])
        stable = [i for i in unchanged if i not in linked]
        if self._size(stable) < LEAST:
            stable = []
        apart = linked.union(stable)
        changed = [i for i in range(len(self._entries)) if i not in apart]
        # A tensor that did not change this time may not change the next time either,
        # and can be linked then if it has its own file.
        self._groups = [group for group in (changed, stable) if group]

    def write(self) -> None:
        """Write what is not linked, and then the record or an index of its files."""
        if not self.linked.files and len(self._groups) < 2:
            self._record.save(self._file)
            return
        assert self._contents is not None  # it was hashed to be grouped
        for group in self._groups:
            self._write_group(group)
        try:
            self._record.write_index(self._contents, self._index, self._file)
        except RecordError:
            # Its plain data takes more memory than a reader grants to a file without
            # payloads.
            self._start_over()
            self._record.save(self._file)

    def _start_over(self) -> None:
        for file in self.linked.files:
            file.unlink()
        self.linked = Linked()

    def _unchanged(self, known_rows: Mapping[str, _Row]) -> dict[int, _Row]:
        assert self._contents is not None
        sums = self._contents.sums
        return {
            i: older
            for i, row in enumerate(self._contents.rows)
            if (older := known_rows.get(row.path)) is not None
            and (older.sum, older.dtype) == (sums[8 * i : 8 * i + 8], row.dtype)
            and older.shape == tuple(row.shape)
            and older.is_planes == (row.layout == "planes")
        }

    def _worthwhile(self, by_file: Mapping[Path, Sequence[int]]) -> list[Path]:
        """Return the older files of which at least half is used."""
        sizes = {file: self._size(rows) for file, rows in by_file.items()}
        # Compressed files are a little smaller than their content.
        files = [
            file
            for file, size in sizes.items()
            if size >= LEAST and 2 * size >= _size_of(file)
        ]
        return sorted(files, key=lambda file: -sizes[file])[:MOST_FILES]

    def _link(
        self, file: Path, rows: Sequence[int], unchanged: Mapping[int, _Row]
    ) -> bool:
        """Link an older file, and assign rows to it; False if that fails."""
        if not _is_readable(file):
            return False
        scratch = self._scratch()
        try:
            os.link(file, scratch)
        except FileNotFoundError:
            return False  # another writer removed the older checkpoint in the meantime
        except OSError as error:
            raise_of_signal(error)
            self.linked.problem = error
            return False
        # Another writer may have replaced the older checkpoint since it was read, so
        # what counts is the content of the file that is linked now.
        linked_rows = _known_rows(scratch)
        older_rows = {i: unchanged[i]._replace(file=scratch) for i in rows}
        if any(
            linked_rows.get(self._entries[i].path) != row
            for i, row in older_rows.items()
        ):
            scratch.unlink()
            return False
        self._take(scratch, older_rows)
        self.linked.n_bytes += self._size(rows)
        return True

    def _write_group(self, rows: Sequence[int]) -> None:
        """Write rows into a file of their own, and assign them to it."""
        scratch = self._scratch()
        self._record.part([self._entries[i] for i in rows]).save(scratch)
        written_rows = _rows_of(scratch)
        self._take(scratch, {i: written_rows[self._entries[i].path] for i in rows})

    def _scratch(self) -> Path:
        """Return the path of a new file whose content gives it its name later."""
        stem, suffix = _parts_of(self._file.name)
        return self._file.with_name(f"{stem}.new{suffix}")

    def _take(self, scratch: Path, rows: Mapping[int, _Row]) -> None:
        """Give a file its name, and assign rows to it."""
        digest = digest_of(scratch)
        name = self._name(digest)
        os.rename(scratch, self._file.with_name(name))
        for i, row in rows.items():
            place = Place(len(self._index.files), row.offset, row.sum)
            self._index.places[i] = place
        self._index.files.append(NamedFile(name, bytes.fromhex(digest)))
        self.linked.files.append(self._file.with_name(name))

    def _name(self, digest: str) -> str:
        """Return the name of a file of this record, derived from its content."""
        stem, suffix = _parts_of(self._file.name)
        return f"{stem}.{xxhash.xxh3_64_hexdigest(digest.encode())}{suffix}"

    def _size(self, rows: Sequence[int]) -> int:
        assert self._contents is not None
        return sum(self._contents.sizes[i] for i in rows)


def _is_readable(file: Path) -> bool:
    """Return whether a file's bytes around its values are as they were written.

    The digest by which an index pins a file is made of the checksums that the file
    states, so that a file with a damaged header would be linked again and again, and no
    checkpoint could be read.
    """
    try:
        with entries_in(file) as record:
            # Bytes around compressed values are compared when these are decoded.
            if file.suffix == ".mpk":
                check_gaps(record, Maps())
    except FileNotFoundError:
        return False
    except RecordError as error:
        LOG.warning("%s: damaged, so it is written again (%s)", file, error)
        return False
    return True


def _known_rows(earlier: Path) -> dict[str, _Row]:
    """Return the rows of an older file; empty if it is damaged or missing."""
    try:
        return _rows_of(earlier)
    except (OSError, RecordError) as error:
        raise_of_signal(error)
        return {}


def _rows_of(file: Path) -> dict[str, _Row]:
    """Return the description of ``file``'s payloads, by path."""
    rows: dict[str, _Row] = {}
    files: dict[str, Path] = {}
    with entries_in(file) as record:
        for entry in record.entries():
            payload = entry.source
            if isinstance(payload, LazyPayload):
                name = payload.source.name
                if name not in files:
                    files[name] = Path(name)
                rows[entry.path] = _row_of(payload, files[name])
    return rows


def _row_of(payload: LazyPayload, file: Path) -> _Row:
    return _Row(
        file,
        payload.pieces[0][0],
        payload.stored_sum,
        payload.dtype,
        tuple(payload.shape),
        payload.is_planes,
    )


def _size_of(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except FileNotFoundError:
        return 0


def _parts_of(name: str) -> tuple[str, str]:
    """Return ``model`` and ``.mpk.zst`` of ``model.mpk.zst``."""
    stem, dot, ending = name.partition(".")
    return stem, dot + ending
