"""Errors that the system reports, told from those that a handler of a signal raises.

A limit of time is a handler that raises TimeoutError, which is an OSError: whoever goes
on after what the system refuses must not go on after that.
"""

from types import TracebackType


def is_of_system(error: BaseException | None) -> bool:
    """Return whether the system has reported ``error``: then it has a number."""
    return isinstance(error, OSError) and error.errno is not None


class IgnoredSystemErrors:
    """A ``with`` block that is left where the system reports an error."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> bool:
        return is_of_system(error)
