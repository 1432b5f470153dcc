"""File names stored in a file, which must be in its own folder."""

import os
from typing import TypeGuard


def is_file_name(name: object) -> TypeGuard[str]:
    """Return whether ``name`` is the plain name of a file, not a path.

    It must also be accepted by the system, without null characters and surrogates, for
    which any call that opens the file raises ValueError.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or "\0" in name:
        return False
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return os.path.basename(name) == name
