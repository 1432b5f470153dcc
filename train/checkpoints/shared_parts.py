"""Parts that several processes hold together: all write them, each its own share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...records.background_saves import Records
from ...records.flat_record import FlatRecord
from ...records.io.progress import Progress, progress_below
from ...records.io.remote.url import Place
from ...records.open import digest_of
from ...records.processes.messages import is_running
from ...records.record_writer import WritableRecord
from ...records.sharded.remote_folder import record_folder
from ...records.sharded.saving import FolderSave
from .distributed import has_shares
from .manifest import PartRow
from .part import Part


@dataclass(slots=True)
class SharedParts:
    """What all processes write of a checkpoint together, a folder for each part."""

    parts: list[Part]
    saves: list[FolderSave]

    @classmethod
    def planned(
        cls, parts: Sequence[Part], prepare: Callable[[Part], WritableRecord]
    ) -> "SharedParts":
        """Return them, planned with all processes; raises on all what one raises.

        ``prepare`` makes the record of a part, once its parameters have the IDs of the
        first process.
        """
        for part in parts:
            part.share_ids()
        saves = [FolderSave.planned(partial(prepare, part), None) for part in parts]
        return cls([*parts], saves)

    @property
    def records(self) -> list[WritableRecord]:
        """What this process writes of each, over the live tensors."""
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

        ``mark`` ends the names of theirs.
        """
        for part, save, record in zip(self.parts, self.saves, records, strict=True):
            place = record_folder(folder / f"{part.name}{mark}")
            save.write(record, place, progress_below(part.name, progress), group)

    def rows(self, folder: Place, mark: str) -> dict[str, PartRow]:
        """Return what a manifest says of the parts, once all have written theirs.

        For the process that writes it, which takes the folder away from here then.
        """
        rows: dict[str, PartRow] = {}
        for part in self.parts:
            name = f"{part.name}{mark}"
            digest = digest_of(record_folder(folder / name).path)
            rows[part.name] = PartRow(name, part.kind, digest, part.left_out)
        return rows


def with_own_shares(part: Part, record: FlatRecord) -> FlatRecord:
    """Return ``record``, of which this process reads what it needs for ``part``."""
    if not is_running() or not has_shares(part.value):
        return record
    return part.with_own_shares(record)
