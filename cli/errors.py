"""Errors as the commands tell them: in words, with a status."""

import sys
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
    from ..config.process.user_traceback import error_text

    tell_text(error_text(error))


def tell_text(text: str) -> None:
    """Print what went wrong; nothing in it steers the terminal."""
    from ..config.printable import printable

    lines = "\n".join(map(printable, text.splitlines()))
    print(f"error: {lines}", file=sys.stderr)
