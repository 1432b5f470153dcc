"""How much memory the plain data of a file may take: one table for all formats.

A reader may fill `allowance` of the file's length with values, beside its entries; a
writer refuses what its reader would. Entries are not counted: each takes about a
kilobyte, and has a row in the file and bytes of its own.
"""

from collections.abc import Iterator, Mapping
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

    Files hold UTF-8, which has no place for half of a surrogate pair. The path is that
    of the value which was saved: tags are how files spell values, and no part of it.
    """
    if isinstance(node, str):
        return None if _is_unicode(node) else path
    for name, item in _members(node):
        if not _is_unicode(name):
            return f"{path}.{name!r}".lstrip(".")
        where = odd_text(item, f"{path}.{name}".lstrip(".") if name else path)
        if where is not None:
            return where
    return None


def odd_text_in_header(header: Mapping[str, Any]) -> str | None:
    """Return where in a record such a text stands: a path of it, or of its metadata."""
    for section, node in header.items():
        if section == "tensors" and (name := odd_text_in_row(node)) is not None:
            return name
        where = odd_text(node, "" if section == "tree" else section)
        if where is not None:
            return where
    return None


def odd_text_in_row(row: Mapping[str, Any]) -> str | None:
    """Return the name in the row of a tensor, or in a table, that is such a text."""
    paths = row["path"]
    names: list[str] = [paths] if isinstance(paths, str) else list(paths)
    return next((repr(name) for name in names if not _is_unicode(name)), odd_text(row))


def _members(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield what is in ``node`` by name; "" is the name of what a tag says of it."""
    if isinstance(node, list):
        items: list[Node] = node
        yield from ((str(i), item) for i, item in enumerate(items))
    elif isinstance(node, dict):
        members: dict[str, Node] = node
        for key, item in members.items():
            if not key.startswith("$"):
                yield key, item
            elif key == "$record":
                yield from (("", part) for part in item)
            elif key == "$dict":
                yield from _items(item)
            else:
                yield "", item


def _items(pairs: Any) -> Iterator[tuple[str, Node]]:
    """Yield the items of a dict of pairs, whose single key may be a tag once more."""
    for key, item in pairs:
        if len(pairs) == 1 and isinstance(key, str) and key.startswith("$"):
            yield from _members({key: item})
        else:
            yield str(key), item


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_SHORT = 256
"""Bytes of a text that takes little, however wide its characters are."""
