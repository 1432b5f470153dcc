"""Errors as the commands tell them: in words, with a status."""

from collections.abc import Callable

from ..config.process.user_traceback import print_error


def answering(act: Callable[[], int]) -> int:
    """Return the status that ``act`` returns, or tell its error and return 2."""
    try:
        return act()
    except told_errors() as error:
        print_error(error)
        return 2


def told_errors() -> tuple[type[Exception], ...]:
    """Return the errors that are told in words: of files, and of what was asked."""
    from ..records.errors import RecordError

    return (RecordError, OSError, ValueError, KeyError, ImportError)
