"""LinkedParts: parts of a checkpoint share what is unchanged with the one before."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...config.process.log import LOG
from ...records.errors import RecordError
from ...records.linked_save import save_linked
from .folders import Folders
from .manifest import Manifest
from .part_kinds import PartRecord


@dataclass(slots=True)
class LinkedParts:
    """How the parts of one run are written, checkpoint after checkpoint."""

    is_on: bool
    last_number: int | None = None
    """Of the checkpoint that was saved last, which may not be the highest."""
    _has_told: bool = False

    def saver(self, folders: Folders) -> Callable[[PartRecord, Path], None] | None:
        """Return what writes a part beside links to the last checkpoint's files.

        None where parts are written whole.
        """
        if not self.is_on:
            return None
        last = self._last(folders)
        files = {} if last is None else _files_of(last)

        def save(part: PartRecord, file: Path) -> None:
            linked = save_linked(part.record, file, files.get(part.name))
            if linked.problem is not None:
                self._tell(folders.root, linked.problem)

        return save

    def _last(self, folders: Folders) -> Path | None:
        by_number = folders.by_number()
        if self.last_number in by_number:
            return by_number[self.last_number]
        return by_number[max(by_number)] if by_number else None

    def _tell(self, root: Path, problem: OSError) -> None:
        if not self._has_told:
            self._has_told = True
            LOG.warning(
                "%s: what is unchanged is written again, since older files cannot be "
                "linked there (%s)",
                root,
                problem.strerror,
            )


def _files_of(folder: Path) -> dict[str, Path]:
    """Return the files of a checkpoint by part; none if it is damaged or gone."""
    try:
        parts = Manifest.read(folder).parts
    except (OSError, RecordError):
        return {}
    return {name: folder / row.file for name, row in parts.items()}
