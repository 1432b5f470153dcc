"""save_to_folder: a record that several processes write together, each its own part."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import torch
import xxhash

from ..calls import explain_calls
from ..entries.encoder import Storable
from ..entries.entries import Entries
from ..entries.entry import Entry
from ..format import format_named
from ..header.header import header_of
from ..io.progress import Progress
from ..io.save_handle import join_saves
from ..io.sink import Destination
from ..precision import PrecisionLike
from ..processes.agreement import agreed
from ..processes.messages import gathered, n_processes, rank
from ..record_writer import (
    LIBRARY,
    RecordWriter,
    WritableRecord,
    save_with,
    writer_for,
)
from ..tensors.memory import values_of
from ..writing.contents import Contents
from .folder import RecordFolder, folder_named
from .save_plan import (
    SavePlan,
    difference,
    entry_rows,
    is_spread,
    own_rectangles,
    plan_by_layout,
    plan_by_rectangles,
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
) -> bytes | None:
    """Write ``record`` to a file as `record_writer.save` does, or to a folder.

    The latter with all processes, each of which calls this.
    """
    folder = folder_named(file)
    if folder is None:
        writer = writer_for(file, recorder)
        return save_with(
            writer,
            record,
            file,
            precision=precision,
            metadata=metadata,
            progress=progress,
        )
    writer = writer_of_folder(folder, recorder)
    save_to_folder(
        record,
        folder,
        precision=writer.precision if precision is None else precision,
        metadata=metadata,
        progress=progress,
    )
    return None


class FolderSaveOptions(TypedDict, total=False):
    """How a record is saved to a folder."""

    precision: PrecisionLike
    metadata: Mapping[str, Any] | None
    progress: Progress | None
    group: Any


def save_to_folder(
    record: Storable,
    folder: str | os.PathLike[str],
    *,
    precision: PrecisionLike = None,
    metadata: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    group: Any = None,
) -> None:
    """Write ``record`` into ``folder``, together with all processes of ``group``.

    Each writes what it has of DTensors; all else is that of process 0. The index is
    written last: until then, and if anything fails on any process, the folder holds
    what it held before. Where it raises on one process, it does on all.
    """
    target = RecordFolder(folder)
    join_saves(target.path)
    writer = RecordWriter()

    def prepare() -> FolderSave:
        writable = writer.prepare(record, precision=precision, metadata=metadata)
        return FolderSave.of(writable, target, group)

    agreed(prepare, groups=[group]).run(progress)


def writer_of_folder(folder: str, recorder: RecordWriter | str | None) -> RecordWriter:
    """Return what writes the parts; ValueError for a recorder of other files."""
    writer = writer_for(..., recorder)
    if (writer.format, writer.compression, writer.convention) != ("mpk", None, None):
        raise ValueError(
            f"{folder}: a folder has parts of .mpk as they are, which each process "
            "writes; leave recorder= out, and say precision= here"
        )
    return writer


@dataclass(slots=True)
class FolderSave:
    """One save: what this process writes, and what it tells the others."""

    record: WritableRecord
    folder: RecordFolder
    group: Any
    dtypes: list[torch.dtype]
    plan: SavePlan | None

    @classmethod
    def of(
        cls, record: WritableRecord, folder: RecordFolder, group: Any
    ) -> "FolderSave":
        """Return the save of ``record``; raise for what no folder can hold."""
        entries = record.entries.entries()
        dtypes = record.precision.stored_dtypes(entries)
        if rank(group) == 0:
            # Said before anybody has written gigabytes.
            header_of(record.entries, dtypes)
            folder.make()
        return cls(record, folder, group, dtypes, plan_by_layout(entries, rank(group)))

    def run(self, progress: Progress | None = None) -> None:
        """Write all of it, with the other processes."""
        save_id, plan = self._agree()
        if rank(self.group) == 0:
            with self.folder.claim(save_id):
                self._write(save_id, plan, progress)
        else:
            self._write(save_id, plan, progress)

    def _agree(self) -> tuple[str, SavePlan]:
        """Return the save's ID, and what all processes plan alike."""
        rows = entry_rows(self._entries, self.dtypes)
        own_plan = bytes(8) if self.plan is None else self.plan.digest
        message = b"".join(
            (
                new_save_id().encode(),
                value_digest(rows),
                own_plan,
                value_digest([digest.hex() for digest in self._digests()]),
            )
        )
        facts = [_Facts.of(m) for m in gathered(message, group=self.group)]
        if len({fact.rows for fact in facts}) > 1:
            self._refuse(rows)
        if len({fact.values for fact in facts}) > 1:
            self._note_differing()
        plan = self.plan
        if plan is None or {fact.plan for fact in facts} != {own_plan}:
            held = gathered(own_rectangles(self._entries), group=self.group)
            plan = plan_by_rectangles(self._entries, held, rank(self.group))
        return facts[0].save_id, plan

    @property
    def _entries(self) -> list[Entry]:
        return self.record.entries.entries()

    def _refuse(self, rows: list[list[Any]]) -> None:
        messages = gathered(json.dumps(rows).encode(), group=self.group)
        all_rows = [json.loads(message) for message in messages]
        process = next(i for i, other in enumerate(all_rows) if other != all_rows[0])
        raise difference(all_rows[0], all_rows[process], process)

    def _digests(self) -> list[bytes]:
        """Return the sums of buffers that every process has by itself."""
        return [
            xxhash.xxh3_64_digest(_bytes_of(entry))
            for entry in self._entries
            if _is_compared(entry)
        ]

    def _note_differing(self) -> None:
        """Say in the metadata which buffers are not the same on all processes."""
        messages = gathered(b"".join(self._digests()), group=self.group)
        paths = [entry.path for entry in self._entries if _is_compared(entry)]
        differing = [
            path
            for i, path in enumerate(paths)
            if len({message[8 * i : 8 * i + 8] for message in messages}) > 1
        ]
        metadata = dict(self.record.entries.metadata)
        metadata["burnish"] = {**metadata["burnish"], DIFFERING: differing}
        entries = self.record.entries.replaced(metadata=metadata)
        self.record = WritableRecord(
            self.record.writer, entries, self.record.precision, self.record.note
        )

    def _write(self, save_id: str, plan: SavePlan, progress: Progress | None) -> None:
        """Write this process's part, and on process 0 the index of all."""
        n_parts = n_processes(self.group)
        name = part_name(rank(self.group), n_parts, save_id)
        try:
            part = agreed(
                lambda: self._write_part(name, plan, progress), groups=[self.group]
            )
        except BaseException:
            self.folder.remove(name)
            raise
        # From here on process 0 may write the index at any moment, whatever becomes of
        # the others: a part that it may name stays. The next save removes what is left.
        facts = gathered(_fact_of(part), group=self.group)
        plan.index.parts = [
            _part_of(fact, part_name(i, n_parts, save_id))
            for i, fact in enumerate(facts)
        ]
        agreed(lambda: self._commit(save_id, plan), groups=[self.group])

    def _write_part(
        self, name: str, plan: SavePlan, progress: Progress | None
    ) -> PartFile | None:
        if not plan.own_entries:
            return None
        about = {"burnish": {"library": LIBRARY, "type": "part"}}
        entries = Entries.of(plan.own_entries, metadata=about, type_name="part")
        part = WritableRecord(
            self.record.writer, entries, self.record.precision, self.record.note
        )
        part.save(self.folder.file(name), progress)
        return self.folder.part(name)

    def _commit(self, save_id: str, plan: SavePlan) -> None:
        if rank(self.group) != 0:
            return
        try:
            write_index(self.record, plan, self.folder)
        except BaseException:
            self.folder.remove_parts(plan.index.parts)
            raise
        self.folder.remove_old(save_id)


def write_index(record: WritableRecord, plan: SavePlan, folder: RecordFolder) -> None:
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

    @classmethod
    def of(cls, message: bytes) -> "_Facts":
        return cls(message[:8].decode(), message[8:16], message[16:24], message[24:32])


def _is_compared(entry: Entry) -> bool:
    """Return whether processes may have different values, of which one is stored."""
    return entry.kind == "buffer" and not is_spread(entry)


def _bytes_of(entry: Entry) -> Any:
    tensor = values_of(entry.tensor(), entry.path).detach()
    return tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def _fact_of(part: PartFile | None) -> bytes:
    if part is None:
        return bytes(8 + DIGEST)
    return part.size.to_bytes(8, "big") + part.digest


def _part_of(fact: bytes, name: str) -> PartFile | None:
    size = int.from_bytes(fact[:8], "big")
    return PartFile(name, size, fact[8:]) if size else None
