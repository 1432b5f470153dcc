"""Checkpoints of larger numbers than the one that is saved, which no run means."""

from dataclasses import dataclass

from ...config.process.user_warning import warn_user
from ...config.short_text import first_names
from .folders import Folders
from .remote_folders import RunFolders


@dataclass(slots=True)
class LaterFolders:
    """Looks for them before a save, and warns once.

    They are of a past that the run went back from, or of another run in one folder.
    """

    folders: RunFolders
    removes_them: bool = False
    """Whether a save leaves none of the others."""
    _is_told: bool = False
    _last: int | None = None
    """The number that was looked at last."""

    def warn(self, number: int) -> None:
        """Warn if there are any beside the checkpoint ``number``, the next save's."""
        last_number, self._last = self._last, number
        # A storage is asked for its index where an answer may be new.
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
            else f"resuming from the newest takes {later[-1]}, so remove them if they "
            "are not wanted"
        )
        warn_user(
            f"{self.folders.root}: a checkpoint of {self.folders.key} {number} is "
            f"saved beside later ones ({first_names(map(str, later), 4)}), left by "
            f"an abandoned attempt or another run; {outcome}. Each run needs a folder "
            "of its own",
            RuntimeWarning,
        )
