"""FileIndex: where the payloads of a record lie that stands without them."""

from typing import NamedTuple


class Place(NamedTuple):
    """Where a payload lies, and what it is."""

    file: int
    """The number of its file among those of the index."""
    offset: int
    """Its first byte, counted from that of the file's content."""
    sum: bytes
    """The xxh3-64 sum."""


class NamedFile(NamedTuple):
    """A file beside the index, pinned by the digest of its content."""

    name: str
    digest: bytes


class FileIndex(NamedTuple):
    """The files beside a record that have its payloads, and a place for each row."""

    files: list[NamedFile]
    places: list[Place]
