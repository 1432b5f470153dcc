"""The rules for a file's metadata; the key "burnish" is the library's own part."""

from collections.abc import Callable, Mapping
from typing import Any

from ...config.plain.node import Node
from ..errors import RecordFormatError
from .columns import is_size, is_text


def combine_metadata(
    recorded: Mapping[str, object], users: Mapping[str, object] | None
) -> dict[str, Any]:
    """Return the metadata of a record merged with the user's, which takes precedence.

    TypeError for anything but a mapping. ValueError for a user's key "burnish", or a
    part of ours that is not a map.
    """
    if users is not None and not isinstance(users, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"metadata must be a dict with str keys, got {users!r:.80}")
    if users is not None and _KEY in users:
        raise ValueError(
            f"metadata: the key {_KEY!r} is reserved for the library; choose another "
            "key"
        )
    ours = recorded.get(_KEY, {})
    if not isinstance(ours, Mapping):
        raise ValueError(
            f"metadata[{_KEY!r}] is reserved for the library, a map; found {ours!r:.80}"
        )
    return {**recorded, **(users or {})}


def check_metadata(metadata: object, file: str) -> None:
    """Raise `RecordFormatError` unless it is a map, with our part in its written form.

    Later readers of it need no checks then.
    """
    if not isinstance(metadata, dict):
        raise RecordFormatError(file, "metadata that is not a map")
    ours: Node = metadata.get(_KEY, {})  # pyright: ignore[reportUnknownMemberType]  # any map
    if not isinstance(ours, dict):
        raise RecordFormatError(
            file,
            f"the metadata 'burnish' {ours!r:.80}",
            "a map",
            "That key is reserved for the library; choose another one.",
        )
    for key, is_fine in _OURS.items():
        if key in ours and not is_fine(ours[key]):
            raise RecordFormatError(
                file, f"the metadata 'burnish.{key}' {ours[key]!r:.80}"
            )


_KEY = "burnish"

_OURS: dict[str, Callable[[Any], bool]] = {
    "library": is_text,
    "type": is_text,
    "precision": is_text,
    "version": is_size,
    "versions": lambda v: isinstance(v, dict) and all(map(is_size, v.values())),
    "class_versions": lambda v: isinstance(v, dict) and all(map(is_size, v.values())),
    "hparams": lambda v: isinstance(v, dict),
    "convention": lambda v: v in ("torch", "burn"),
    "scalars": lambda v: isinstance(v, dict),
    "differing": lambda v: isinstance(v, list) and all(map(is_text, v)),
}
"""The types of what we write under the key "burnish", if we write it."""
