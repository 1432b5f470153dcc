"""Reading of folders that a run may replace at any moment, never mixing two saves."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from ...config.process.interrupts import raise_of_signal, suppressed
from ...config.storage.opening import Descriptor, looks, open_folder
from ...records.errors import RecordError
from ...records.io.remote.url import Place
from .folders import recover

T = TypeVar("T")


class HeldFolder:
    """A folder as it was opened, which another may replace, remove or restore.

    It is kept open, where permitted: otherwise the file system may reuse the number of
    a removed one.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._opened: Descriptor | None = None
        self._status: os.stat_result | None = None
        with suppressed(OSError):
            self._opened = open_folder(folder)
        with suppressed(OSError):
            opened = self._opened
            self._status = os.stat(folder) if opened is None else os.fstat(opened.fd)

    @classmethod
    def after_turn(cls, folder: str) -> Self:
        """Return the folder once no writer has moved it aside to replace it."""
        held_folder = cls(folder)
        if not held_folder.is_there and os.path.isdir(os.path.dirname(folder) or "."):
            with suppressed(OSError):
                recover(Path(folder).parent)  # this waits for the end of a replacement
            held_folder = cls(folder)
        return held_folder

    @property
    def is_current(self) -> bool:
        """Whether the folder of that name is the same one; also if there is none."""
        status = None
        with suppressed(OSError):
            status = os.stat(self.folder)
        if status is None or self._status is None:
            return status is self._status
        return os.path.samestat(status, self._status)

    @property
    def is_there(self) -> bool:
        """Whether there was a folder when it was opened."""
        return self._status is not None

    def close(self) -> None:
        """Release the folder."""
        if self._opened is not None:
            self._opened.close()


def reread_if_replaced(
    folder: Place, read: Callable[[], T], discard: Callable[[T], object] | None = None
) -> T:
    """Return the result of ``read`` for ``folder``, once it is not replaced meanwhile.

    Its error is raised here if the folder is the same one, or is gone. With
    ``discard``, which releases a result, an answer never mixes two saves.
    """
    if not isinstance(folder, Path):
        return read()
    for is_last in looks():
        held_folder = HeldFolder.after_turn(str(folder))
        try:
            result = read()
            if discard is None or is_last or held_folder.is_current:
                return result
            discard(result)
        except (OSError, RecordError) as error:
            raise_of_signal(error)
            if is_last or _is_same(held_folder, folder):
                raise
        finally:
            held_folder.close()
    raise AssertionError("unreachable")


def _is_same(held_folder: HeldFolder, folder: Path) -> bool:
    """Return whether a folder was not replaced, and is not about to be."""
    if not os.path.lexists(folder):
        HeldFolder.after_turn(str(folder)).close()
    return held_folder.is_current
