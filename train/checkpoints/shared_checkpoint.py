"""A checkpoint written by several processes together, each with its shares of parts."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...records.background_saves import Records
from ...records.flat_record import FlatRecord
from ...records.io.progress import Progress, progress_below
from ...records.io.remote.url import Place, path_or_url
from ...records.open import digest_of
from ...records.processes.agreement import agreed
from ...records.processes.messages import broadcast_text, is_running
from ...records.record_writer import WritableRecord
from ...records.sharded.remote_folder import record_folder
from ...records.sharded.saving import FolderSave
from .distributed import has_shares, is_writer
from .manifest import PartRow
from .part import Part

NewFolder = Callable[[], AbstractContextManager[Place]]
"""Yields an empty folder, which is valid when the block ends without an error."""

Finish = Callable[[Place, Records, Mapping[str, PartRow]], None]
"""Writes the rest, from these records, into a folder with the shared parts."""


@dataclass(slots=True)
class SharedParts:
    """The parts that all processes write together, a folder for each."""

    parts: list[Part]
    saves: list[FolderSave]

    @classmethod
    def planned(
        cls, parts: Sequence[Part], prepare: Callable[[Part], WritableRecord]
    ) -> "SharedParts":
        """Return them, planned with all processes; an error of one is raised on all.

        ``prepare`` creates the record of a part, once its parameters have the IDs of
        the first process.
        """
        for part in parts:
            part.share_ids()
        saves = [FolderSave.planned(partial(prepare, part), None) for part in parts]
        return cls([*parts], saves)

    @property
    def records(self) -> list[WritableRecord]:
        """What this process writes of each, referring to live tensors."""
        return [save.part for save in self.saves]

    def write(
        self,
        folder: Place,
        mark: str,
        records: Records,
        progress: Progress | None,
        group: Any,
    ) -> None:
        """Write ``records``, which are `records` or copies of them, into ``folder``.

        Their names end in ``mark``.
        """
        for part, save, record in zip(self.parts, self.saves, records, strict=True):
            place = record_folder(folder / f"{part.name}{mark}")
            save.write(record, place, progress_below(part.name, progress), group)

    def rows(self, folder: Place, mark: str) -> dict[str, PartRow]:
        """Return the manifest's entries of the parts, once all have written theirs.

        For the process that writes it, which then moves the folder away.
        """
        rows: dict[str, PartRow] = {}
        for part in self.parts:
            name = f"{part.name}{mark}"
            digest = digest_of(record_folder(folder / name).path)
            rows[part.name] = PartRow(name, part.kind, digest, part.left_out)
        return rows


@dataclass(slots=True)
class SharedCheckpoint:
    """The parts of one checkpoint: shared ones, and those of the first process."""

    shared: SharedParts
    whole: list[WritableRecord]
    """The records of the first process; none on all others."""
    mark: str = ""
    """The part of its file names before the suffix."""

    @property
    def records(self) -> list[WritableRecord]:
        """Everything this process writes, referring to live tensors."""
        return [*self.shared.records, *self.whole]

    def write(
        self,
        new_folder: NewFolder,
        records: Records,
        finish: Finish,
        progress: Progress | None,
        group: Any,
    ) -> None:
        """Write ``records``, which are `records` or copies; the folder appears whole.

        The first process opens ``new_folder``. All write at the same time; an error on
        one is raised on all, and the old folder is unchanged.
        """
        n_shared = len(self.shared.saves)
        with ExitStack() as stack:

            def begin() -> str:
                return str(stack.enter_context(new_folder()))

            text = agreed(lambda: begin() if is_writer(group) else "", groups=[group])
            scratch = path_or_url(broadcast_text(text, group=group))
            shared_records = records[:n_shared]
            self.shared.write(scratch, self.mark, shared_records, progress, group)

            def end() -> None:
                if is_writer(group):
                    rows = self.shared.rows(scratch, self.mark)
                    finish(scratch, records[n_shared:], rows)
                    stack.close()

            agreed(end, groups=[group])


def with_own_shares(part: Part, record: FlatRecord) -> FlatRecord:
    """Return ``record``, reduced to what this process needs for ``part``."""
    if not is_running() or not has_shares(part.value):
        return record
    return part.with_own_shares(record)
