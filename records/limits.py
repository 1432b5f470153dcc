"""How much memory the plain data of a file may take: one table for all formats.

A reader may fill `allowance` of the file's length with values, beside its entries; a
writer refuses what its reader would. Entries are not counted: each takes about a
kilobyte, and has a row in the file and bytes of its own.
"""

from typing import Any

import numpy as np

from ..config.plain.node import Node
from .errors import RecordError

FREE = 48 << 20
"""Memory that is granted whatever the file's length is."""

LIST = 80
"""What an empty list takes, with its place in another one."""
MAP = 240
"""What a map of up to five members takes, beside them."""
MEMBER = 40
"""What the place in a map takes, beside key and value."""
TEXT = 64
"""What a text takes beside its characters."""
NUMBER = 40
"""What a float or a large integer takes."""
WORD = 8
"""What a place takes that refers to something known, such as true."""

MOST_PER_BYTE = 120
"""What a byte of plain data takes at most: three are a map of an empty text and nil."""


PER_ENTRY = 2048
"""Memory that is granted for what declared fields say of an entry, beside the rest."""


def allowance(size: int, n_entries: int = 0) -> int:
    """Return what the values of a file of ``size`` bytes may take in memory.

    Where a file says its number of entries before all else, what stands around them
    counts no more than they do: as many states of one number each may be stored.
    """
    return FREE + size + PER_ENTRY * n_entries


def text_cost(data: bytes | memoryview) -> int:
    """Return what the text that is encoded in ``data`` takes, with its place."""
    n_chars, width = len(data), 1
    # One character beyond the first 256 makes all of them wider.
    if n_chars > _SHORT:
        codes: np.ndarray[Any, Any] = np.frombuffer(data, np.uint8)
        largest = int(codes.max())
        width = 1 if largest < 0xC4 else 2 if largest < 0xF0 else 4
        n_chars = int(((codes & 0xC0) != 0x80).sum()) if width > 1 else n_chars
    return TEXT + WORD + n_chars * width


def unstorable_text(where: str) -> RecordError:
    """Return the error that ``where`` a text stands that is not valid Unicode."""
    return RecordError(
        f"{where}: a string that is not valid Unicode (it holds half of a surrogate "
        "pair); replace it, or store it as bytes"
    )


def odd_text(node: Node, path: str = "") -> str | None:
    """Return the path in ``node`` of a text that is not valid Unicode, if any.

    Files hold UTF-8, which has no place for half of a surrogate pair.
    """
    if isinstance(node, str):
        return None if _is_unicode(node) else path
    if isinstance(node, dict):
        members: dict[str, Node] = node
        for key, item in members.items():
            if not _is_unicode(key):
                return f"{path}.{key!r}".lstrip(".")
            where = odd_text(item, f"{path}.{key}".lstrip("."))
            if where is not None:
                return where
    elif isinstance(node, list):
        items: list[Node] = node
        for i, item in enumerate(items):
            where = odd_text(item, f"{path}.{i}".lstrip("."))
            if where is not None:
                return where
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_SHORT = 256
"""Bytes of a text that takes little, however wide its characters are."""
