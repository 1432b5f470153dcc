"""save_to_folder: a record written by several processes together, each its own part."""

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
"""The key of our metadata for the paths of buffers whose values differ by process."""


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
    """Write ``record`` to a file, or return it as bytes without one.

    Without ``recorder`` the suffix determines the format. To a folder all processes
    write together, or those of ``group``, each of which calls this. Raises ValueError
    for an unknown suffix, and TypeError for None.
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
    """Raise ValueError for a process group where only one process writes."""
    if group is not None:
        raise ValueError(
            "group= says which processes write a folder together, but "
            f"{'no file' if file is ... else repr(file)} is not a folder: end "
            "its name with a slash, or remove group="
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
    """Write the result of ``record_of``, together with all processes of ``group``.

    Each writes its shares of DTensors; everything else is written by process 0. The
    index is written last: until then, and if anything fails on any process, the folder
    keeps its old content. If it raises on one process, it raises on all.
    """
    target = record_folder(folder)
    join_saves(target.path)
    writer = RecordWriter()

    def prepare() -> WritableRecord:
        return writer.prepare(record_of(), precision=precision, metadata=metadata)

    save = FolderSave.planned(prepare, group)
    save.write(save.part, target, progress, group)


def writer_of_folder(folder: str, recorder: RecordWriter | str | None) -> RecordWriter:
    """Return the recorder of the parts; ValueError for one of other files."""
    writer = writer_for(..., recorder)
    if (writer.format, writer.compression, writer.convention) != ("mpk", None, None):
        raise ValueError(
            f"{folder}: a folder has .mpk parts, and each process writes its "
            "own; remove recorder=, and pass precision= here"
        )
    return writer


@dataclass(slots=True)
class FolderSave:
    """One save: what this process writes of a record, and the index."""

    record: WritableRecord
    plan: SavePlan
    save_id: str

    @classmethod
    def planned(cls, prepare: Callable[[], WritableRecord], group: Any) -> Self:
        """Return the save of the result of ``prepare``, planned with all processes.

        An error of one is raised on all, and so are differences between their records.
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

        All processes do so at the same time; an error on one is raised on all.
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
            # happens to the others: a part that it may name is kept, unless all know
            # that one failed. The next save removes the remains.
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
    """Write the part of process ``number`` into the folder created by the first one.

    Raises RecordError if this process does not see that folder.
    """
    if isinstance(folder, RecordFolder) and not folder.is_there():
        raise RecordError(
            f"{folder.path}: process {number} saves to this folder but cannot find "
            f"it, although process 0 has created it. {_SAME_FOLDER}"
        )
    return write_part(part, folder, name, progress)


_SAME_FOLDER = (
    "All processes must save to the same folder, on a disk or storage that "
    "all of them can access; what the folder held before is unchanged"
)


def check_parts(
    parts: Sequence[PartFile | None],
    folder: AnyRecordFolder,
    places: Sequence[bytes] = (),
) -> None:
    """Raise RecordError for a part that is not where the index will be.

    Folders of the same name may be on different disks, and a storage in memory belongs
    to its process. ``places`` are the locations reported by the processes.
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

    On disks each is. A storage that has the part of another process has all, and is
    asked once, since each check is a request.
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
    """Digest of what every process has on its own, in order: see `_digest_of`."""
    copies: list[tuple[Any, str]]
    """The copies of replicated tensors: see `own_copies`."""
    plan: SavePlan | None

    @classmethod
    def of(cls, record: WritableRecord, group: Any) -> "_Proposal":
        """Return the draft of ``record``; raise for content that no folder can hold."""
        metadata = deepcopy(record.entries.metadata)  # its owner may change it later
        record = replace(record, entries=with_parts(record.entries, metadata=metadata))
        entries = record.entries.entries()
        dtypes = record.precision.stored_dtypes(entries)
        if rank(group) == 0:
            # Reported before gigabytes are written.
            header_of(record.entries, dtypes)
        is_alone = n_processes(group) == 1
        digests = [_digest_of(e) for e in entries if _is_compared(e) and not is_alone]
        copies = [] if is_alone else own_copies(entries)
        # Layouts number processes by their positions in meshes of all of them.
        plan = None if group is not None else plan_by_layout(entries, rank())
        rows = entry_rows(entries, dtypes)
        return cls(record, entries, rows, digests, copies, plan)

    @property
    def message(self) -> bytes:
        """The message about it for the other processes."""
        values = value_digest([digest.hex() for digest in self.digests])
        plan = bytes(8) if self.plan is None else self.plan.digest
        about = value_digest(self.rows) + plan + values
        about += value_digest([place for place, _ in self.copies])
        about += value_digest([digest for _, digest in self.copies])
        return new_save_id().encode() + about

    def agreed_plan(
        self, messages: Sequence[bytes], group: Any
    ) -> tuple[WritableRecord, SavePlan, str]:
        """Return what all processes save together, and the ID of the save."""
        facts = [_Facts.of(message) for message in messages]
        if len({fact.rows for fact in facts}) > 1:
            self._refuse(group)
        if len({fact.values for fact in facts}) > 1:
            self._note_differing(group)
        # Those that have the same rows must have the same values.
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
        """List in the metadata which buffers differ between processes.

        Raise RecordError for parameters that do.
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
    """Return the record of a part with these entries of ``record``."""
    about = {"burnish": {"library": LIBRARY, "type": "part"}}
    part = Entries.of(entries, metadata=about, type_name="part")
    # The record's own precision, which depends on the kind of record.
    return WritableRecord(record.writer, part, record.precision, record.note)


def write_part(
    part: WritableRecord, folder: AnyRecordFolder, name: str, progress: Progress | None
) -> PartFile | None:
    """Write a part of a folder; None for an empty one."""
    if not part.entries.entries():
        return None
    part.save(folder.file(name), progress)
    return part_file(folder, name)


def part_file(folder: AnyRecordFolder, name: str) -> PartFile:
    """Return the size and digest of a part of a folder, as it is now."""
    source = folder.source(name, map_file=False)
    try:
        return PartFile(name, source.size, format_named("mpk").digest(source))
    finally:
        source.close()


def write_index(
    record: WritableRecord, plan: SavePlan, folder: AnyRecordFolder
) -> None:
    """Write the index of existing parts: from now on they are the record."""
    form = format_named("mpk")
    contents = Contents(record.entries, form, record.precision, None)
    with folder.sink(INDEX) as sink:
        form.encode_folder_index(contents, plan.index, sink)


@dataclass(frozen=True, slots=True)
class _Facts:
    """The message of each process before anything is written."""

    save_id: str
    rows: bytes
    plan: bytes
    values: bytes
    copies: bytes
    """8 bytes for its rows of replicated parameters, 8 for the values."""

    @classmethod
    def of(cls, message: bytes) -> "_Facts":
        rows, plan, values = message[8:16], message[16:24], message[24:32]
        return cls(message[:8].decode(), rows, plan, values, message[32:])


def _is_compared(entry: Entry) -> bool:
    """Return whether processes may have different values, of which one is stored."""
    return entry.kind in ("buffer", "parameter") and not is_spread(entry)


def _digest_of(entry: Entry) -> bytes:
    """Return 8 bytes that identify a buffer, and most parameters."""
    tensor = values_of(entry.tensor(), entry.path).detach()
    return (corner_digest if entry.kind == "parameter" else tensor_digest)(tensor)


def _fact_of(part: PartFile | None, folder: AnyRecordFolder) -> bytes:
    """Return a process's message about its part: size, digest, 8 bytes of the place."""
    size, digest = (0, bytes(DIGEST)) if part is None else (part.size, part.digest)
    return size.to_bytes(8, "big") + digest + value_digest(folder.path)


def _part_of(fact: bytes, name: str) -> PartFile | None:
    size, digest = int.from_bytes(fact[:8], "big"), fact[8 : 8 + DIGEST]
    return PartFile(name, size, digest) if size else None
