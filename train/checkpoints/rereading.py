"""Reading folders that a run may replace at any moment, all of them of one save."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ...config.storage.system_errors import IgnoredSystemErrors, is_of_system
from ...records.errors import RecordError
from ...records.io.remote.url import Place
from .folders import recover

T = TypeVar("T")

_TRIES = 16


def reread_if_replaced(folder: Place, read: Callable[[], T]) -> T:
    """Return what ``read`` makes of ``folder``, once none takes its place meanwhile.

    What it raises is raised here if the folder is the one that it was, or is gone.
    """
    if not isinstance(folder, Path):
        return read()
    for n_more_tries in reversed(range(_TRIES)):
        before = _identity(folder)
        try:
            return read()
        except (OSError, RecordError):
            if not n_more_tries or _identity(folder) == before:
                raise
    raise AssertionError("unreachable")


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return what tells a folder from all others; None if there is none."""
    try:
        status = os.stat(folder)
    except OSError as error:
        if not is_of_system(error):
            raise
        # A replacement puts the older one aside first; this waits for its end.
        with IgnoredSystemErrors():
            recover(folder.parent)
        return None
    return status.st_dev, status.st_ino
