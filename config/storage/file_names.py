"""Names of files that a file gives, and which lie in its own folder."""

import os
from typing import TypeGuard


def is_file_name(name: object) -> TypeGuard[str]:
    """Return whether ``name`` is that of a file in a folder, and no path elsewhere.

    It also is one that the system takes, in which no zero and no half of a character
    stands: other names are a ValueError of whatever call opens them.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or "\0" in name:
        return False
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return os.path.basename(name) == name
