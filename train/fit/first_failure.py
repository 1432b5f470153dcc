"""The first failure among a run's processes, of which others are consequences."""

import os
import shutil
import tempfile
import time
from functools import cached_property

from ...config.process.interrupts import raise_of_signal

MARK = "BURNISH_FIT_FAILURE"
"""The environment variable with the file that records the first failure."""

_FILE = "failure"

_MOMENT = 1.0
_LONGEST = 20.0
"""Seconds within which the first process ends those that failed as a consequence.

That is after one that was killed, and after one that recorded its failure and is still
reporting it.
"""


class FirstFailure:
    """A record that only one process of a run can make: the one that fails first.

    The others lose their connection to it only when it ends, and it records its failure
    before, so that their errors come later.
    """

    @cached_property
    def folder(self) -> str:
        """The file of the record."""
        return tempfile.mkdtemp(prefix="burnish-fit-")

    def note(self) -> bool:
        """Record this process's failure; return whether no other one failed before."""
        return _note(self.folder)

    def remove(self) -> None:
        """Remove the record."""
        if "folder" in vars(self):
            shutil.rmtree(self.folder, ignore_errors=True)


def is_first_failure() -> bool:
    """Return whether the failure of this started process is the first one.

    If it is not, the first process of the run ends this one meanwhile, so that it
    reports no lost connection. A process that was killed has recorded nothing, but has
    a status.
    """
    folder = os.environ.get(MARK)
    if folder is None:
        return True
    is_first = _note(folder)
    time.sleep(_MOMENT if is_first else _LONGEST)
    return is_first


def _note(folder: str) -> bool:
    try:
        os.close(os.open(os.path.join(folder, _FILE), os.O_CREAT | os.O_EXCL))
    except OSError as error:  # recorded before, or the run is over
        raise_of_signal(error)
        return False
    return True
