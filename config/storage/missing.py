"""The error for a missing file, with suggestions of what was meant."""

import errno
import os
from collections.abc import Callable

from ..process.interrupts import suppressed
from ..short_text import first_names
from ..spelling import nearest


def missing_file(
    file: str, is_meant: Callable[[str], bool], content: str
) -> FileNotFoundError:
    """Return the error for a missing file, with what may have been meant.

    ``is_meant`` returns whether a file of a given name could be read, ``content`` is
    what it would hold, with its article.
    """
    if not file:
        return FileNotFoundError("the name of the file is empty; expected a path")
    reason = f"{os.strerror(errno.ENOENT)}; {_instead_of(file, is_meant, content)}"
    return FileNotFoundError(errno.ENOENT, reason, file)


def _instead_of(file: str, is_meant: Callable[[str], bool], content: str) -> str:
    """Describe what exists in the place of the missing ``file``."""
    folder, name = os.path.split(file)
    if os.path.islink(file):
        return f"it is a link to {os.readlink(file)!r}, which is missing"
    if not os.path.isdir(folder or "."):
        return f"the folder {folder!r} is missing"
    names: list[str] = []
    with suppressed(OSError):
        names = sorted(os.listdir(folder or "."))
    if name in names:
        return "it exists now: another program has just written it; try again"
    files = [*filter(is_meant, names)]
    # Of two equally similar names, the one of a file of this kind was meant.
    similar = nearest(name, files) or nearest(name, names)
    if similar is not None:
        return f"did you mean {os.path.join(folder, similar)!r}?"
    place = f"{folder!r}" if folder else f"the current folder, {os.getcwd()!r},"
    return (
        f"{place} holds {first_names(files, 6) if files else f'no file of {content}'}"
    )
