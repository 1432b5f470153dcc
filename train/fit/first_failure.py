"""Which process of a run failed first: what the others meet then follows from that."""

import os
import shutil
import tempfile
import time
from functools import cached_property

from ...config.process.interrupts import raise_of_signal

MARK = "BURNISH_FIT_FAILURE"
"""The variable by which a process knows where the first failure is noted."""

_FILE = "failure"

_MOMENT = 1.0
_LONGEST = 20.0
"""Seconds in which the first process ends a process whose failure only follows: after
one that was killed, and after one that noted its failure and still tells of it."""


class FirstFailure:
    """A note that only one process of a run can make: the one that fails first.

    The others lose their connection to it no sooner than it ends, and it notes its
    failure before, so that their errors come later than the note.
    """

    @cached_property
    def folder(self) -> str:
        """Where the note is made."""
        return tempfile.mkdtemp(prefix="burnish-fit-")

    def note(self) -> bool:
        """Note a failure of this process; return whether no other one failed before."""
        return _note(self.folder)

    def remove(self) -> None:
        """Leave nothing of it."""
        if "folder" in vars(self):
            shutil.rmtree(self.folder, ignore_errors=True)


def is_first_failure() -> bool:
    """Return, in a process that another one started, whether its failure is the first.

    The first process of the run ends this one meanwhile if it is not, so that it tells
    of no lost connection. One that was killed has noted nothing, but has a status.
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
    except OSError as error:  # noted before, or the run is over
        raise_of_signal(error)
        return False
    return True
