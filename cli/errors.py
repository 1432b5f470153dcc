"""Errors of the commands, printed as messages, with an exit status."""

from collections.abc import Callable

from ..config.process.user_traceback import print_error
from ..records.errors import RecordError

TOLD_ERRORS = (RecordError, OSError, ValueError, KeyError, ImportError)
"""Errors printed without a traceback: those of files and of wrong arguments."""


def answering(act: Callable[[], int]) -> int:
    """Return the status that ``act`` returns, or print its error and return 2."""
    try:
        return act()
    except TOLD_ERRORS as error:
        print_error(error)
        return 2
