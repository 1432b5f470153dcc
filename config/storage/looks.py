"""Looks at files and folders that another program may replace at any moment."""

from collections.abc import Iterator

_N_LOOKS = 16
"""So often nobody replaces a folder while it is read: what goes on is an error."""


def looks() -> Iterator[bool]:
    """Yield for each look whether it is the last one, whose error is to be raised."""
    yield from (i == _N_LOOKS - 1 for i in range(_N_LOOKS))
