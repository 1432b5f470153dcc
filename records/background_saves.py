"""BackgroundSaves: records written while the program goes on, one save at a time."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .header.header import header_of
from .io.save_handle import SaveHandle
from .io.sink import Destination, Progress, check_destination
from .record_writer import WritableRecord
from .writing.payload import saved_from_snapshot
from .writing.staging import StagedRecord, Staging

T = TypeVar("T")

Records = Sequence[WritableRecord]


class BackgroundSaves:
    """Saves of a snapshot each, of which one is in memory at a time.

    The next one waits for the one before, and raises its error if nobody has seen it.
    """

    def __init__(self, *, keeps_memory: bool) -> None:
        """``keeps_memory`` from save to save, where the same things are saved again."""
        self._staging, self._keeps_memory = Staging(), keeps_memory
        self._last: SaveHandle[Any] | None = None

    def prepare(self, records: Records) -> None:
        """Have memory ready for a snapshot of ``records``, which takes a while."""
        self.join()
        self._staging.prepare([_staged(record) for record in records])

    def free(self) -> None:
        """Let go of the memory, where no save goes on, until the next one."""
        self._staging.free()

    def begin(
        self,
        records: Records,
        write: Callable[[Records], T],
        place: str | os.PathLike[str],
    ) -> SaveHandle[T]:
        """Copy ``records``, and have a thread ``write`` the copies to ``place``.

        What is changed after this returns is in none of them. Raises what is wrong with
        the records, and nothing has begun then.
        """
        self.finish()
        staged = [_staged(record) for record in records]
        copies, memory = self._staging.copy(staged)
        snapshot = [r.with_entries(c) for r, c in zip(records, copies, strict=True)]
        for record in records:
            record.precision.warn_of_zeroed()

        def write_snapshot() -> T:
            try:
                with saved_from_snapshot():
                    return write(snapshot)
            finally:
                snapshot.clear()
                if self._keeps_memory:
                    self._staging.give_back(memory)

        handle = self._last = SaveHandle(write_snapshot, place)
        handle.start()
        return handle

    def finish(self) -> None:
        """Wait for the last save; raise its error, unless somebody has seen it."""
        self.join()
        if self._last is not None and self._last.has_unseen_error:
            self._last.wait()

    @property
    def ended_well(self) -> bool:
        """Whether there is a last save, and it has ended without an error."""
        return self._last is not None and self._last.succeeded

    def join(self) -> None:
        """Wait for the last save; its error stays for `finish`."""
        if self._last is not None and self._last.is_parents:
            self._last = None
        if self._last is not None:
            self._last.join()


def save_in_background(
    record: WritableRecord, file: Destination, progress: Progress | None
) -> SaveHandle[Path]:
    """Write ``record`` as it is now to the path ``file``, after this has returned.

    ValueError for what is no path: nobody would know when it may be closed.
    """
    if not isinstance(file, str | os.PathLike):
        raise ValueError(
            "wait=False writes to a path, which is complete at its end; "
            + (
                "bytes are returned at once, so leave it out"
                if file is ...
                else f"save to {file!r:.80} without it"
            )
        )
    check_destination(file)
    # The program may be in another folder when the file is opened.
    place = Path(os.getcwd(), os.fsdecode(file))

    def write(snapshot: Records) -> Path:
        snapshot[0].save(place, progress)
        return place

    return _saves.begin([record], write, place)


_saves = BackgroundSaves(keeps_memory=False)
"""Those of single files, whose memory is given back: no next one may come."""


def _staged(record: WritableRecord) -> StagedRecord:
    """Return what is copied of ``record``; raise for what no file can hold."""
    form, _ = record.writer.parts()
    entries = [e for e in record.entries.entries() if e.kind not in form.omits]
    dtypes = record.precision.stored_dtypes(entries)
    # Said now, to whoever made the call, though the writer will ask as well.
    header_of(record.entries.replaced(entries=entries), dtypes)
    return StagedRecord(entries, dtypes, record.precision, record.note)
