"""Markers: placeholders in the text of a state for objects in files beside it."""

import re
from collections.abc import Mapping
from typing import Any

from ...records.errors import RecordFormatError
from ...records.io.remote.url import Place

_MARKER = re.compile(r"<blob:([^/\\<>\x00]+)>")

LEGACY_SUFFIX = ".msgpack"
"""The suffix of the files that HyperState's model wrote."""


def marker_of(file: str) -> str:
    """Return the marker for the object in ``file``, a name without folders."""
    return f"<blob:{file}>"


def blob_file(tree: Any) -> str | None:
    """Return the file that a marker names, None for any other value."""
    match = _MARKER.fullmatch(tree) if isinstance(tree, str) else None
    return match[1] if match else None


def has_blobs(tree: Any) -> bool:
    """Return whether ``tree`` contains a marker anywhere."""
    if isinstance(tree, Mapping):
        return any(map(has_blobs, tree.values()))
    if isinstance(tree, list | tuple):
        return any(map(has_blobs, tree))
    return is_marker(tree)


def blob_files(tree: Any) -> list[str]:
    """Return the files that markers anywhere in ``tree`` name."""
    if isinstance(tree, Mapping):
        return [file for value in tree.values() for file in blob_files(value)]
    if isinstance(tree, list | tuple):
        return [file for value in tree for file in blob_files(value)]
    file = blob_file(tree)
    return [] if file is None else [file]


def is_marker(tree: Any) -> bool:
    """Return whether ``tree`` is a marker, also in the form of older files."""
    return tree == "<BLOB>" or blob_file(tree) is not None


def checked_file(marker: str, path: str, folder: Place) -> str:
    """Return the file that a marker names; older ones derive it from the path."""
    if marker in ("<BLOB>", "<blob:pickle>"):
        raise RecordFormatError(
            str(folder / "state.ron"),
            f"{path} is a pickle",
            "a record",
            "Pickles run code when they are read; save it again as a record.",
        )
    if marker == "<blob:msgpack>":
        return f"state.{path.replace('[', '_').replace(']', '')}{LEGACY_SUFFIX}"
    file = blob_file(marker)
    return file if file is not None else ""
