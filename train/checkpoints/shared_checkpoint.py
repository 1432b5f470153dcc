"""SharedCheckpoint: a checkpoint that several processes write together."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

from ...records.background_saves import Records
from ...records.io.progress import Progress
from ...records.io.remote.url import Place, path_or_url
from ...records.processes.agreement import agreed
from ...records.processes.messages import broadcast_text
from ...records.record_writer import WritableRecord
from .distributed import is_writer
from .manifest import PartRow
from .shared_parts import SharedParts

NewFolder = Callable[[], AbstractContextManager[Place]]
"""Gives an empty folder, which counts when the block ends, and not if it raises."""

Finish = Callable[[Place, Records, Mapping[str, PartRow]], None]
"""Writes all else, of these records, into a folder in which the shared parts are."""


@dataclass(slots=True)
class SharedCheckpoint:
    """The parts of one checkpoint: shared ones, and those that the first one writes."""

    shared: SharedParts
    whole: list[WritableRecord]
    """The records of the first process; none on all others."""
    mark: str = ""
    """What the names of its files have before the suffix."""

    @property
    def records(self) -> list[WritableRecord]:
        """All that this process writes, over the live tensors."""
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

        The first process opens ``new_folder``. All write at a time; what fails on one
        raises on all, and the folder is as it was.
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
