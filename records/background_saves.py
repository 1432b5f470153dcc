"""BackgroundSaves: records written while the program continues, one save at a time."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, Self, TypeAlias, TypeVar

from torch import Tensor

from ..config.arguments import check_flag
from .entries.entries import with_parts
from .header.header import header_of
from .io.progress import Progress
from .io.remote.url import Place, path_or_url
from .io.save_handle import SaveHandle, SnapshotReport, saves_going_on
from .io.sink import Destination
from .processes.background_group import background_group
from .record_writer import WritableRecord
from .tensors.optimizer_steps import call_before_steps
from .writing.held_records import HeldRecords
from .writing.lazy_snapshot import LazySnapshot, settle_snapshots
from .writing.payload import saved_from_snapshot
from .writing.spare_memory import SpareMemory
from .writing.staging import Copies, StagedRecord, Staging

T = TypeVar("T")

Records = Sequence[WritableRecord]

SnapshotKind: TypeAlias = Literal["copy", "lazy"]
"""Whether the call copies everything, or only what optimizers step, before they do."""

STAGING = 64 << 20
"""Default number of bytes that are copied before a step."""


@dataclass(frozen=True, slots=True)
class SnapshotOptions:
    """How a background save keeps the values of the call."""

    kind: SnapshotKind = "copy"
    staging: int = STAGING
    """Maximal bytes copied before a step, if ``kind`` is lazy; 0 or more."""

    @classmethod
    def checked(cls, snapshot: object, staging: object, *, wait: object) -> Self:
        """Return the meaning of ``snapshot=`` and ``staging=`` beside ``wait=``.

        Raises TypeError or ValueError for invalid values, or where they would have no
        effect.
        """
        check_flag("wait", wait)
        if snapshot not in ("copy", "lazy"):
            raise ValueError(f"snapshot must be 'copy' or 'lazy', got {snapshot!r:.60}")
        if type(staging) is not int or staging < 0:
            raise ValueError(
                f"staging must be a number of bytes, at least 0, got {staging!r:.60}"
            )
        if snapshot == "lazy" and wait:
            raise ValueError(
                "snapshot='lazy' is for saves in the background; add wait=False"
            )
        if snapshot == "copy" and staging != STAGING:
            raise ValueError(
                "staging= limits the copies of snapshot='lazy'; 'copy' copies "
                "everything"
            )
        if snapshot == "lazy":
            # The first save already knows optimizers that step from now on.
            call_before_steps(settle_snapshots)
        return cls("lazy" if snapshot == "lazy" else "copy", staging)


class BackgroundSaves:
    """Saves of one snapshot each, with one in memory at a time.

    The next one waits for the one before, and raises its error if it was not raised
    yet.
    """

    def __init__(
        self, *, keeps_memory: bool, options: SnapshotOptions | None = None
    ) -> None:
        """``keeps_memory`` between saves, for saves of the same objects."""
        self._options = options or SnapshotOptions()
        self._staging, self._keeps_memory = Staging(), keeps_memory
        self._later = SpareMemory(self._options.staging)
        self._last: SaveHandle[Any] | None = None

    def prepare(self, records: Records) -> None:
        """Allocate memory for a snapshot of ``records``, which takes a while."""
        self.join()
        staged = [_staged(record) for record in records]
        if self._options.kind == "lazy":
            records_in_place = HeldRecords(staged)
            self._later.prepare(records_in_place.size)
            staged = records_in_place.to_copy
        self._staging.prepare(staged)

    def free(self) -> None:
        """Free the memory until the next save, if none is running."""
        self._staging.free()
        self._later.free()

    def begin(
        self,
        records: Records,
        write: Callable[[Records], T],
        place: str | os.PathLike[str],
        options: SnapshotOptions | None = None,
    ) -> SaveHandle[T]:
        """Copy ``records``, and have a thread ``write`` the copies to ``place``.

        Changes after the return are not in them. Raises for invalid records before
        anything begins. ``options`` are those of this save.
        """
        self.finish()
        chosen, report = options or self._options, SnapshotReport()
        lazy, handle = LazySnapshot(self._room_of(chosen), report), None
        try:
            if chosen.kind == "lazy":
                entries, memory = self._hold([*map(_staged, records)], lazy)
            else:
                entries, memory = self._staging.copy([*map(_staged, records)])
            report.n_copied_at_once = _n_bytes(entries) - report.n_held
            for record in records:
                record.precision.warn_of_zeroed()
            snapshot = [
                record.with_entries(its_entries)
                for record, its_entries in zip(records, entries, strict=True)
            ]
            save = _Save(snapshot, write, lazy, partial(self._take_back, memory))
            handle = self._last = SaveHandle(save, place, report)
            del snapshot, entries, memory, save
            handle.start()
        except BaseException:
            if handle is None or not handle.has_begun:
                # Steps would wait for a writer that never starts.
                lazy.abandon()
            raise
        return handle

    def _hold(
        self, staged: list[StagedRecord], lazy: LazySnapshot
    ) -> tuple[Copies, Tensor]:
        """Return entries over live tensors and over copies, and the copied tensors."""

        def hold() -> tuple[Copies, Tensor]:
            records = HeldRecords(staged)
            tensors = records.hold(lazy)
            copies, memory = self._staging.copy(records.to_copy)
            return records.join(tensors, copies), memory

        return lazy.take(hold)

    def _room_of(self, options: SnapshotOptions) -> SpareMemory:
        """Return the staging memory for copies before steps."""
        return self._later if self._keeps_memory else SpareMemory(options.staging)

    def _take_back(self, memory: Tensor) -> None:
        if self._keeps_memory:
            self._staging.give_back(memory)

    def finish(self) -> None:
        """Wait for the last save; raise its error, unless it was raised before."""
        self.join()
        if self._last is not None and self._last.has_unseen_error:
            self._last.wait()

    @property
    def report(self) -> SnapshotReport | None:
        """What the last save copied and how long it blocked; None before the first."""
        return None if self._last is None else self._last.report

    @property
    def ended_well(self) -> bool:
        """Whether a last save exists, and ended without an error."""
        return self._last is not None and self._last.succeeded

    def join(self) -> None:
        """Wait for the last save; its error is left for `finish`."""
        if self._last is not None and self._last.is_parents:
            self._last = None
        if self._last is not None:
            self._last.join()


def with_all_processes(
    write: Callable[[Records, Any], T],
) -> Callable[[Records], T]:
    """Return ``write``, with a group of all processes, for the thread of a save.

    It waits for earlier saves: their messages would mix in the group. All processes
    call this, in the same order.
    """
    group, earlier_saves = background_group(), saves_going_on()

    def write_in_turn(records: Records) -> T:
        for save in earlier_saves:
            save.join()
        return write(records, group)

    return write_in_turn


class _Save(Generic[T]):
    """The work of a save's thread: runs once, and keeps nothing afterwards."""

    def __init__(
        self,
        snapshot: list[WritableRecord],
        write: Callable[[Records], T],
        lazy: LazySnapshot,
        take_back: Callable[[], object],
    ) -> None:
        self._snapshot, self._write = snapshot, write
        self._lazy, self._take_back = lazy, take_back

    def __call__(self) -> T:
        try:
            with saved_from_snapshot():
                self._lazy.hash_ahead()
                return self._write(self._snapshot)
        finally:
            self._lazy.end()
            self._snapshot.clear()
            self._take_back()


def save_in_background(
    record: WritableRecord,
    file: Destination,
    progress: Progress | None,
    options: SnapshotOptions | None = None,
) -> SaveHandle[Place]:
    """Write ``record`` as it is now to a path or a URL, in the background.

    The handle's result is that path. ValueError for a file object, since nothing could
    tell when to close it.
    """
    if not isinstance(file, str | os.PathLike):
        raise ValueError(
            "wait=False writes to a path, which is complete when the save ends; "
            + (
                "bytes are returned at once, so remove it"
                if file is ...
                else f"save to {file!r:.80} without it"
            )
        )
    # The working directory may have changed when the file is opened.
    place = path_or_url(file)

    def write(snapshot: Records) -> Place:
        snapshot[0].save(place, progress)
        return place

    return _saves.begin([record], write, place, options)


_saves = BackgroundSaves(keeps_memory=False)
"""Saves of single files, whose memory is freed because no further save may follow."""


def _n_bytes(entries: Copies) -> int:
    return sum(entry.nbytes for its_entries in entries for entry in its_entries)


def _staged(record: WritableRecord) -> StagedRecord:
    """Return what is copied of ``record``; raise for values that no file can hold."""
    form, _ = record.writer.parts()
    entries = [e for e in record.entries.entries() if e.kind not in form.omits]
    dtypes = record.precision.stored_dtypes(entries)
    # Raised here, in the call, although the writer checks it as well.
    header_of(with_parts(record.entries, entries=entries), dtypes)
    return StagedRecord(entries, dtypes, record.precision, record.note)
