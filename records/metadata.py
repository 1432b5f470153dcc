"""What a file's metadata must be; the key "burnish" is the library's own part."""

from collections.abc import Callable
from typing import Any

from .columns import is_size, is_text
from .errors import RecordFormatError
from .tree import Node


def check_metadata(metadata: object, file: str) -> None:
    """Raise `RecordFormatError` unless it is a map, and our part of it is as we wrote.

    Who reads it later then needs no checks of its own.
    """
    if not isinstance(metadata, dict):
        raise RecordFormatError(file, "metadata that is no map")
    ours: Node = metadata.get("burnish", {})  # pyright: ignore[reportUnknownMemberType]  # any map
    if not isinstance(ours, dict):
        raise RecordFormatError(
            file,
            f"the metadata 'burnish' {ours!r:.80}",
            "a map",
            "That key is the library's own; choose another one.",
        )
    for key, is_fine in _OURS.items():
        if key in ours and not is_fine(ours[key]):
            raise RecordFormatError(
                file, f"the metadata 'burnish.{key}' {ours[key]!r:.80}"
            )


_OURS: dict[str, Callable[[Any], bool]] = {
    "library": is_text,
    "type": is_text,
    "precision": is_text,
    "version": is_size,
    "versions": lambda v: isinstance(v, dict) and all(map(is_size, v.values())),
    "hparams": lambda v: isinstance(v, dict),
}
"""What we write under the key "burnish", if we write it."""
