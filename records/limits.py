"""Memory limits for the plain data of a file: one table for all formats.

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
"""The memory of an empty list, including its slot in another one."""
MAP = 240
"""The memory of a map of up to five members, without them."""
MEMBER = 40
"""The memory of a map's slot, without key and value."""
TEXT = 64
"""The memory of a string, without its characters."""
NUMBER = 40
"""The memory of a float or a large integer."""
WORD = 8
"""The memory of a slot that refers to a shared object, such as true."""

MOST_PER_BYTE = 120
"""Maximal memory per byte of plain data: three bytes are a map of "" to nil."""


PER_ENTRY = 2048
"""Additional memory that is granted per entry, for its declared fields."""


def allowance(size: int, n_entries: int = 0) -> int:
    """Return the memory that the values of a file of ``size`` bytes may take.

    Where a file starts with its number of entries, the data around them counts no more
    than they do: as many states of one number each may be stored.
    """
    return FREE + size + PER_ENTRY * n_entries


def text_cost(data: bytes | memoryview) -> int:
    """Return the memory of the string that ``data`` encodes, with its slot."""
    n_chars, width = len(data), 1
    # One character beyond the first 256 makes all of them wider.
    if n_chars > _SHORT:
        codes: np.ndarray[Any, Any] = np.frombuffer(data, np.uint8)
        largest = int(codes.max())
        width = 1 if largest < 0xC4 else 2 if largest < 0xF0 else 4
        n_chars = int(((codes & 0xC0) != 0x80).sum()) if width > 1 else n_chars
    return TEXT + WORD + n_chars * width


def unstorable_text(where: str) -> RecordError:
    """Return the error for a string that is not valid Unicode, at ``where``."""
    return RecordError(
        f"{where}: a string that is not valid Unicode (it holds half of a surrogate "
        "pair); replace it, or store it as bytes"
    )


def odd_text(node: Node, path: str = "") -> str | None:
    """Return the path in ``node`` of a string that is not valid Unicode, if any.

    Files hold UTF-8, which cannot encode half of a surrogate pair. The path is that of
    the value which was saved: tags are an encoding in files, and no part of it.
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
    """Return where a record has such a string: a path, or a key of its metadata."""
    for section, node in header.items():
        if section == "tensors" and (name := odd_text_in_row(node)) is not None:
            return name
        where = odd_text(node, "" if section == "tree" else section)
        if where is not None:
            return where
    return None


def odd_text_in_row(row: Mapping[str, Any]) -> str | None:
    """Return such a string in the name of a tensor's row, or of a table."""
    paths = row["path"]
    names: list[str] = [paths] if isinstance(paths, str) else list(paths)
    return next((repr(name) for name in names if not _is_unicode(name)), odd_text(row))


def _members(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield the items of ``node`` by name; the content of a tag is named ""."""
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
    """Yield the items of a dict of pairs, whose single key may be a tag as well."""
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
"""Bytes of a string that takes little memory however wide its characters are."""
