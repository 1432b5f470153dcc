"""SharedCheckpoint: a checkpoint that several processes write together."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...records.background_saves import Records
from ...records.io.progress import Progress
from ...records.processes.agreement import agreed
from ...records.processes.messages import broadcast_text
from ...records.record_writer import WritableRecord
from .distributed import is_writer
from .folders import Folders
from .manifest import PartRow
from .shared_parts import SharedParts

Finish = Callable[[Path, Records, Mapping[str, PartRow]], None]
"""Writes all else, of these records, into a folder in which the shared parts are."""


@dataclass(slots=True)
class SharedCheckpoint:
    """The parts of one checkpoint: shared ones, and those that the first one writes."""

    shared: SharedParts
    whole: list[WritableRecord]
    """The records of the first process; none on all others."""
    name: str
    """Of its folder."""

    @property
    def records(self) -> list[WritableRecord]:
        """All that this process writes, over the live tensors."""
        return [*self.shared.records, *self.whole]

    def write(
        self,
        folders: Folders,
        records: Records,
        finish: Finish,
        progress: Progress | None,
        group: Any,
    ) -> None:
        """Write ``records``, which are `records` or copies; the folder appears whole.

        All processes do so at a time; what fails on one raises on all, and the folder
        is as it was.
        """
        n_shared = len(self.shared.saves)
        with ExitStack() as stack:

            def begin() -> str:
                return str(stack.enter_context(folders.new(self.name)))

            scratch = agreed(lambda: begin() if is_writer() else "", groups=[group])
            scratch = broadcast_text(scratch, group=group)
            rows = self.shared.write(Path(scratch), records[:n_shared], progress, group)

            def end() -> None:
                if is_writer():
                    finish(Path(scratch), records[n_shared:], rows)
                    stack.close()

            agreed(end, groups=[group])
