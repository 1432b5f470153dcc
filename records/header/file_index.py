"""FileIndex: the locations of a record's payloads that are in other files."""

from typing import NamedTuple


class Place(NamedTuple):
    """The location of a payload, with its size and checksum."""

    file: int
    """The number of its file among those of the index."""
    offset: int
    """Its first byte, counted from the start of the file's content."""
    sum: bytes
    """The xxh3-64 checksum."""


class NamedFile(NamedTuple):
    """A file beside the index, identified by the digest of its content."""

    name: str
    digest: bytes


class FileIndex(NamedTuple):
    """The files beside a record that have its payloads, and a location for each row."""

    files: list[NamedFile]
    places: list[Place]
