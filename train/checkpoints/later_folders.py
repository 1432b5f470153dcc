"""Checkpoints of larger numbers than the one being saved, which a run cannot mean."""

from dataclasses import dataclass

from ...config.process.user_warning import warn_user
from ...config.short_text import first_names
from .folders import Folders
from .remote_folders import RunFolders


@dataclass(slots=True)
class LaterFolders:
    """Looks for them before a save, and warns once.

    They are from before the run went back, or of another run in the same folder.
    """

    folders: RunFolders
    removes_them: bool = False
    """Whether a save removes all others."""
    _is_told: bool = False
    _last: int | None = None
    """The number at the last check."""

    def warn(self, number: int) -> None:
        """Warn if there are any besides the checkpoint ``number`` of the next save."""
        last_number, self._last = self._last, number
        # A storage is listed only when the answer may have changed.
        may_be_new = (
            isinstance(self.folders, Folders)
            or last_number is None
            or number < last_number
        )
        if self._is_told or not may_be_new:
            return
        later = [n for n in self.folders.by_number() if n > number]
        if not later:
            return
        self._is_told = True
        outcome = (
            "they are removed once this one is complete"
            if self.removes_them
            else f"resuming from the newest takes {later[-1]}, so remove them if you "
            "do not want that"
        )
        warn_user(
            f"{self.folders.root}: a checkpoint of {self.folders.key} {number} "
            f"is saved beside later ones ({first_names(map(str, later), 4)}), "
            f"which an earlier attempt or another run left there; {outcome}. "
            "Each run needs its own folder",
            RuntimeWarning,
        )
