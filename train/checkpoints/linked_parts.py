"""LinkedParts: parts of a checkpoint share unchanged data with the previous one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from ...config.process.interrupts import raise_of_signal
from ...config.process.log import LOG
from ...records.errors import RecordError
from ...records.io.remote.url import Place, Url
from ...records.linked_save import save_linked
from ...records.record_writer import WritableRecord
from .folders import Folders
from .manifest import Manifest
from .part import PartRecord, SavePart
from .remote_folders import RunFolders

Unchanged: TypeAlias = Literal["write", "link"]
"""How tensors are written whose values equal those of the previous checkpoint."""


@dataclass(slots=True)
class LinkedParts:
    """How the parts of one run are written, checkpoint after checkpoint."""

    is_on: bool
    last_number: int | None = None
    """The number of the checkpoint saved last, which may not be the highest."""
    _has_told: bool = False

    @classmethod
    def checked(
        cls, unchanged: object, suffix: str, folder: object = None
    ) -> "LinkedParts":
        """Return the value of ``unchanged=``. ValueError for what cannot be linked."""
        if unchanged not in ("write", "link"):
            raise ValueError(
                f"unchanged must be 'write' or 'link', got {unchanged!r:.60}"
            )
        if unchanged == "link" and suffix not in (".mpk", ".mpk.zst"):
            raise ValueError(
                "unchanged='link' needs the suffix '.mpk' or '.mpk.zst', got "
                f"{suffix!r}"
            )
        if unchanged == "link" and isinstance(folder, Url):
            raise ValueError(
                f"{folder}: unchanged='link' shares files by hard links, which "
                "remote storage does not have. Remove it, and each checkpoint "
                "is written in full"
            )
        return cls(unchanged == "link")

    def saver(self, folders: RunFolders) -> SavePart | None:
        """Return what writes a part with links to the last checkpoint's files.

        None if parts are written as a whole.
        """
        if not self.is_on or not isinstance(folders, Folders):
            return None
        return self.saver_after(self.last_folder(folders), folders.root)

    def saver_after(self, checkpoint: Path | None, root: Path) -> SavePart | None:
        """Return the same if the last checkpoint is known, or known not to exist."""
        if not self.is_on:
            return None
        files = {} if checkpoint is None else _files_of(checkpoint)

        def save(part: PartRecord, file: Place) -> None:
            assert isinstance(file, Path)  # since it is in the root
            self.write(part.record, file, files.get(part.name), root)

        return save

    def write(
        self, record: WritableRecord, file: Path, earlier: Path | None, root: Path
    ) -> None:
        """Write ``record`` with links to the equal parts of ``earlier``."""
        linked = save_linked(record, file, earlier)
        if linked.problem is not None:
            self._tell(root, linked.problem)

    def last_folder(self, folders: Folders) -> Path | None:
        """Return the folder of the previous checkpoint; None if there is none."""
        by_number = folders.by_number()
        if self.last_number in by_number:
            return by_number[self.last_number]
        return by_number[max(by_number)] if by_number else None

    def _tell(self, root: Path, problem: OSError) -> None:
        if not self._has_told:
            self._has_told = True
            LOG.warning(
                "%s: unchanged parts are written again, since older files "
                "cannot be hard-linked there (%s)",
                root,
                problem.strerror,
            )


def _files_of(folder: Path) -> dict[str, Path]:
    """Return the files of a checkpoint by part; none if it is damaged or removed."""
    try:
        parts = Manifest.read(folder).parts
    except (OSError, RecordError) as error:
        raise_of_signal(error)
        return {}
    return {name: folder / row.file for name, row in parts.items()}
