"""Errors as the commands tell them: in words, with a status."""

from collections.abc import Callable

from ..config.process.user_traceback import print_error
from ..records.errors import RecordError

TOLD_ERRORS = (RecordError, OSError, ValueError, KeyError, ImportError)
"""What is told in words: errors of files, and of what was asked."""


def answering(act: Callable[[], int]) -> int:
    """Return the status that ``act`` returns, or tell its error and return 2."""
    try:
        return act()
    except TOLD_ERRORS as error:
        print_error(error)
        return 2
