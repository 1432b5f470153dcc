"""Errors as the commands tell them: in words, with a status."""

from collections.abc import Callable


def answering(act: Callable[[], int]) -> int:
    """Return the status that ``act`` returns, or tell its error and return 2."""
    try:
        return act()
    except told_errors() as error:
        return refuse(error)


def told_errors() -> tuple[type[Exception], ...]:
    """Return the errors that are told in words: of files, and of what was asked."""
    from ..records.errors import RecordError

    return (RecordError, OSError, ValueError, KeyError, ImportError)


def refuse(error: BaseException) -> int:
    """Tell an error as commands do, and return the status of no answer."""
    tell(error)
    return 2


def tell(error: BaseException) -> None:
    """Print an error; names in it never steer the terminal."""
    from ..config.process.user_traceback import print_error

    print_error(error)
