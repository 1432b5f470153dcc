"""save_to_folder: a record that several processes write together, each its own part."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Self, TypedDict

from ...config.process.interrupts import suppressed
from ...config.short_text import first_names
from ..calls import explain_calls
from ..entries.encoder import Storable
from ..entries.entries import Entries, with_parts
from ..entries.entry import Entry
from ..errors import RecordError
from ..format import format_named
from ..header.header import header_of
from ..io.progress import Progress
from ..io.save_handle import join_saves
from ..io.sink import Destination
from ..precision import PrecisionLike
from ..processes.agreement import agreed, agreed_messages
from ..processes.messages import gathered, n_processes, rank
from ..record_writer import (
    LIBRARY,
    RecordWriter,
    WritableRecord,
    writer_for,
)
from ..tensors.memory import values_of
from ..writing.contents import Contents
from .folder import RecordFolder, folder_named
from .remote_folder import AnyRecordFolder, record_folder
from .save_plan import (
    SavePlan,
    corner_digest,
    difference,
    entry_rows,
    is_spread,
    other_values,
    own_copies,
    own_rectangles,
    plan_by_layout,
    plan_by_rectangles,
    tensor_digest,
    value_digest,
)
from .shard_index import DIGEST, INDEX, PartFile, new_save_id, part_name

DIFFERING = "differing"
"""The key of our metadata with the paths of what processes had different values of."""


@explain_calls("record.save(file{})", "write", is_home=False)
def save_record_to(
    record: Storable,
    file: Destination = ...,
    *,
    precision: PrecisionLike = None,
    recorder: RecordWriter | str | None = None,
    metadata: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    group: Any = None,
) -> bytes | None:
    """Write ``record`` to a file, or return it as bytes when that is left out.

    Without ``recorder`` the suffix says how. To a folder all processes write together,
    or those of ``group``, each of which calls this. Raises ValueError for a suffix that
    says nothing, and TypeError for None.
    """
    folder = folder_named(file)
    if folder is None:
        check_no_group(group, file)
        writer = writer_for(file, recorder)
        writable = writer.prepare(record, precision=precision, metadata=metadata)
        return writable.save_after_others(file, progress)
    writer = writer_of_folder(folder, recorder)
    save_to_folder(
        lambda: record,
        folder,
        precision=writer.precision if precision is None else precision,
        metadata=metadata,
        progress=progress,
        group=group,
    )
    return None


def check_no_group(group: Any, file: object) -> None:
    """Raise ValueError for a group of processes where one process writes."""
    if group is not None:
        raise ValueError(
            "group= says which processes write a folder together, but "
            f"{'no file' if file is ... else repr(file)} is not a folder: end its name "
            "with a slash, or leave group= out"
        )


class FolderSaveOptions(TypedDict, total=False):
    """How a record is saved to a folder."""

    precision: PrecisionLike
    metadata: Mapping[str, Any] | None
    progress: Progress | None
    group: Any


def save_to_folder(
    record_of: Callable[[], Storable],
    folder: str | os.PathLike[str],
    *,
    precision: PrecisionLike = None,
    metadata: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    group: Any = None,
) -> None:
    """Write what ``record_of`` returns, together with all processes of ``group``.

    Each writes what it has of DTensors; all else is that of process 0. The index is
    written last: until then, and if anything fails on any process, the folder holds
    what it held before. Where it raises on one process, it does on all.
    """
    target = record_folder(folder)
    join_saves(target.path)
    writer = RecordWriter()

    def prepare() -> WritableRecord:
        return writer.prepare(record_of(), precision=precision, metadata=metadata)

    save = FolderSave.planned(prepare, group)
    save.write(save.part, target, progress, group)


def writer_of_folder(folder: str, recorder: RecordWriter | str | None) -> RecordWriter:
    """Return what writes the parts; ValueError for a recorder of other files."""
    writer = writer_for(..., recorder)
    if (writer.format, writer.compression, writer.convention) != ("mpk", None, None):
        raise ValueError(
            f"{folder}: a folder has .mpk parts, and each process writes its own; "
            "leave recorder= out, and pass precision= here"
        )
    return writer


@dataclass(slots=True)
class FolderSave:
    """One save: what this process writes of a record, and what the index says."""

    record: WritableRecord
    plan: SavePlan
    save_id: str

    @classmethod
    def planned(cls, prepare: Callable[[], WritableRecord], group: Any) -> Self:
        """Return the save of what ``prepare`` gives, planned with all processes.

        Raises on all of them what is raised on one, and for different records.
        """
        proposals: list[_Proposal] = []

        def propose() -> bytes:
            proposals.append(_Proposal.of(prepare(), group))
            return proposals[0].message

        messages = agreed_messages(propose, group=group)
        return cls(*proposals[0].agreed_plan(messages, group))

    @property
    def part(self) -> WritableRecord:
        """What this process writes; it refers to the live tensors."""
        return part_record(self.record, self.plan.own_entries)

    def write(
        self,
        part: WritableRecord,
        folder: AnyRecordFolder,
        progress: Progress | None = None,
        group: Any = None,
    ) -> None:
        """Write ``part``, which is `part` or a copy of it, and the index of all.

        All processes do so at a time; what fails on one raises on all.
        """
        n_parts = n_processes(group)
        name = part_name(rank(group), n_parts, self.save_id)
        with ExitStack() as stack:
            agreed(lambda: self._claim(folder, stack, group), groups=[group])
            former_parts = folder.former_parts(rank(group), n_parts)

            def write_own_part() -> bytes:
                try:
                    return _fact_of(
                        _write_own(part, folder, name, progress, rank(group)), folder
                    )
                except BaseException:
                    folder.remove(name)
                    raise

            # Process 0 may write the index once it has heard of all parts, whatever
            # becomes of the others: a part that it may name stays, unless all know that
            # one failed. The next save removes what is left.
            facts = agreed_messages(
                write_own_part, undo=lambda: folder.remove(name), group=group
            )
            self.plan.index.parts = [
                _part_of(fact, part_name(i, n_parts, self.save_id))
                for i, fact in enumerate(facts)
            ]
            places = [fact[8 + DIGEST :] for fact in facts]
            agreed(lambda: self._commit(folder, places, group), groups=[group])
            for former_part in former_parts:
                with suppressed(OSError):
                    folder.remove(former_part)
            if rank(group) == 0:
                folder.remove_old(self.save_id)

    def _claim(self, folder: AnyRecordFolder, stack: ExitStack, group: Any) -> None:
        if rank(group) == 0:
            folder.make()
            stack.enter_context(folder.claim(self.save_id))

    def _commit(
        self, folder: AnyRecordFolder, places: Sequence[bytes], group: Any
    ) -> None:
        if rank(group) != 0:
            return
        try:
            is_remote = not isinstance(folder, RecordFolder)
            check_parts(self.plan.index.parts, folder, places if is_remote else ())
            write_index(self.record, self.plan, folder)
        except BaseException:
            folder.remove_parts(self.plan.index.parts)
            raise


def _write_own(
    part: WritableRecord,
    folder: AnyRecordFolder,
    name: str,
    progress: Progress | None,
    number: int,
) -> PartFile | None:
    """Write the part of process ``number`` into the folder that the first has made.

    Raises RecordError where this process does not see that folder.
    """
    if isinstance(folder, RecordFolder) and not folder.is_there():
        raise RecordError(
            f"{folder.path}: process {number} saves to this folder but cannot find "
            f"it, although process 0 has created it. {_SAME_FOLDER}"
        )
    return write_part(part, folder, name, progress)


_SAME_FOLDER = (
    "All processes must save to the same folder, on a disk or in a storage that all of "
    "them see; what the folder held before is unchanged"
)


def check_parts(
    parts: Sequence[PartFile | None],
    folder: AnyRecordFolder,
    places: Sequence[bytes] = (),
) -> None:
    """Raise RecordError for a part that is not where the index will be.

    Folders of the same name may be on other disks, and a storage in memory is each
    process's own. ``places`` are where the processes say that theirs are.
    """
    for number, part in enumerate(parts):
        if part is None:
            continue
        is_elsewhere = bool(places) and places[number] != places[0]
        if not is_elsewhere and _is_asked_for(number, parts, folder):
            is_elsewhere = folder.size(part.name) != part.size
        if is_elsewhere:
            raise RecordError(
                f"{folder.path}: process {number} has written {part.name} elsewhere. "
                f"{_SAME_FOLDER}"
            )


def _is_asked_for(
    number: int, parts: Sequence[PartFile | None], folder: AnyRecordFolder
) -> bool:
    """Return whether the part of process ``number`` is looked for.

    On disks each is. A storage that has one of another process has all, and is asked
    once: each question is a request.
    """
    later_parts = (i for i, part in enumerate(parts) if i and part is not None)
    return isinstance(folder, RecordFolder) or number == next(later_parts, None)


@dataclass(slots=True)
class _Proposal:
    """What one process would save, before it has heard of the others."""

    record: WritableRecord
    entries: list[Entry]
    rows: list[list[Any]]
    digests: list[bytes]
    """Of what every process has by itself, in turn: see `_digest_of`."""
    copies: list[tuple[Any, str]]
    """Of what a mesh replicates: see `own_copies`."""
    plan: SavePlan | None

    @classmethod
    def of(cls, record: WritableRecord, group: Any) -> "_Proposal":
        """Return that of ``record``; raise for what no folder can hold."""
        metadata = deepcopy(record.entries.metadata)  # its owner may go on to change it
        record = replace(record, entries=with_parts(record.entries, metadata=metadata))
        entries = record.entries.entries()
        dtypes = record.precision.stored_dtypes(entries)
        if rank(group) == 0:
            # Said before anybody has written gigabytes.
            header_of(record.entries, dtypes)
        is_alone = n_processes(group) == 1
        digests = [_digest_of(e) for e in entries if _is_compared(e) and not is_alone]
        copies = [] if is_alone else own_copies(entries)
        # Layouts count processes by their places in meshes of all of them.
        plan = None if group is not None else plan_by_layout(entries, rank())
        rows = entry_rows(entries, dtypes)
        return cls(record, entries, rows, digests, copies, plan)

    @property
    def message(self) -> bytes:
        """What the other processes are told of it."""
        values = value_digest([digest.hex() for digest in self.digests])
        plan = bytes(8) if self.plan is None else self.plan.digest
        about = value_digest(self.rows) + plan + values
        about += value_digest([place for place, _ in self.copies])
        about += value_digest([digest for _, digest in self.copies])
        return new_save_id().encode() + about

    def agreed_plan(
        self, messages: Sequence[bytes], group: Any
    ) -> tuple[WritableRecord, SavePlan, str]:
        """Return what all processes save alike, and the ID of the save."""
        facts = [_Facts.of(message) for message in messages]
        if len({fact.rows for fact in facts}) > 1:
            self._refuse(group)
        if len({fact.values for fact in facts}) > 1:
            self._note_differing(group)
        # Those that have the same rows have the same values.
        if len({fact.copies for fact in facts}) > len({f.copies[:8] for f in facts}):
            self._refuse_copies(group)
        plan = self.plan
        if plan is None or len({fact.plan for fact in facts}) > 1:
            rectangles = agreed(lambda: own_rectangles(self.entries), groups=[group])
            plan = plan_by_rectangles(
                self.entries, gathered(rectangles, group=group), rank(group)
            )
        return self.record, plan, facts[0].save_id

    def _refuse(self, group: Any) -> None:
        messages = gathered(json.dumps(self.rows).encode(), group=group)
        all_rows = [json.loads(message) for message in messages]
        process = next(i for i, rows in enumerate(all_rows) if rows != all_rows[0])
        raise difference(all_rows[0], all_rows[process], process)

    def _refuse_copies(self, group: Any) -> None:
        messages = gathered(json.dumps(self.copies).encode(), group=group)
        digests: dict[str, set[str]] = {}
        paths: dict[str, None] = {}
        for place, digest in (copy for each in messages for copy in json.loads(each)):
            digests_there = digests.setdefault(json.dumps(place), set())
            digests_there.add(digest)
            if len(digests_there) > 1:
                paths[self.entries[place[0]].path] = None
        raise other_values(first_names([*paths], 4))

    def _note_differing(self, group: Any) -> None:
        """Say in the metadata which buffers are not the same on all processes.

        Raise RecordError for parameters that are not.
        """
        messages = gathered(b"".join(self.digests), group=group)
        compared = [entry for entry in self.entries if _is_compared(entry)]
        differing = [
            entry
            for i, entry in enumerate(compared)
            if len({message[8 * i : 8 * i + 8] for message in messages}) > 1
        ]
        parameters = [entry.path for entry in differing if entry.kind == "parameter"]
        if parameters:
            raise other_values(first_names(parameters, 4))
        metadata = dict(self.record.entries.metadata)
        paths = [entry.path for entry in differing]
        metadata["burnish"] = {**metadata["burnish"], DIFFERING: paths}
        entries = with_parts(self.record.entries, metadata=metadata)
        self.record = replace(self.record, entries=entries)


def part_record(record: WritableRecord, entries: list[Entry]) -> WritableRecord:
    """Return the record of a part that has these entries of ``record``."""
    about = {"burnish": {"library": LIBRARY, "type": "part"}}
    part = Entries.of(entries, metadata=about, type_name="part")
    # The record's own precision, which knows what kind of record it is.
    return WritableRecord(record.writer, part, record.precision, record.note)


def write_part(
    part: WritableRecord, folder: AnyRecordFolder, name: str, progress: Progress | None
) -> PartFile | None:
    """Write a part of a folder; None for one that holds nothing."""
    if not part.entries.entries():
        return None
    part.save(folder.file(name), progress)
    return part_file(folder, name)


def part_file(folder: AnyRecordFolder, name: str) -> PartFile:
    """Return what pins a part of a folder, as it is now."""
    source = folder.source(name, map_file=False)
    try:
        return PartFile(name, source.size, format_named("mpk").digest(source))
    finally:
        source.close()


def write_index(
    record: WritableRecord, plan: SavePlan, folder: AnyRecordFolder
) -> None:
    """Write the index of parts that are there: from now on they are the record."""
    form = format_named("mpk")
    contents = Contents(record.entries, form, record.precision, None)
    with folder.sink(INDEX) as sink:
        form.encode_folder_index(contents, plan.index, sink)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What each process tells before anything is written."""

    save_id: str
    rows: bytes
    plan: bytes
    values: bytes
    copies: bytes
    """8 bytes of the rows that it has of replicated parameters, 8 of the values."""

    @classmethod
    def of(cls, message: bytes) -> "_Facts":
        rows, plan, values = message[8:16], message[16:24], message[24:32]
        return cls(message[:8].decode(), rows, plan, values, message[32:])


def _is_compared(entry: Entry) -> bool:
    """Return whether processes may have different values, of which one is stored."""
    return entry.kind in ("buffer", "parameter") and not is_spread(entry)


def _digest_of(entry: Entry) -> bytes:
    """Return 8 bytes that tell a buffer from any other, and most parameters."""
    tensor = values_of(entry.tensor(), entry.path).detach()
    return (corner_digest if entry.kind == "parameter" else tensor_digest)(tensor)


def _fact_of(part: PartFile | None, folder: AnyRecordFolder) -> bytes:
    """Return what a process tells of its part: size, digest, and 8 bytes of where."""
    size, digest = (0, bytes(DIGEST)) if part is None else (part.size, part.digest)
    return size.to_bytes(8, "big") + digest + value_digest(folder.path)


def _part_of(fact: bytes, name: str) -> PartFile | None:
    size, digest = int.from_bytes(fact[:8], "big"), fact[8 : 8 + DIGEST]
    return PartFile(name, size, digest) if size else None
