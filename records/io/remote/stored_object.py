"""StoredObject: the object at a URL, fetched by ranges, and checked for replacement."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ....config.process.process_lock import ProcessLock
from ....config.short_text import quantity
from ...errors import RecordFormatError
from ..source import fresh_memory
from .address import Address, storage_errors

REQUEST = 16 << 20
"""Maximal bytes of one request: longer ranges are fetched by several in parallel."""
_AT_ONCE = 8
"""Number of parallel requests, so that they take 128 MiB at most."""
_ALIGN = 64

_IDENTITY = {
    "etag",
    "generation",
    "versionid",
    "md5hash",
    "contentmd5",
    "contenthash",
    "digest",
    "blobid",
    "sha",
    "crc",
    "mtime",
    "lastmodified",
    "modificationtime",
    "modify",
    "updated",
    "created",
    "size",
}
"""Properties of an object in storages that change when it is replaced.

Each storage has its own spelling: ``LastModified``, ``last_modified``,
``Last-Modified``.
"""

_EXACT = {"cache_type": "none"}
"""Files of a storage would otherwise read ahead, whatever is requested."""

_lock = ProcessLock()
"""Storages that are not asynchronous may share one position between readers."""


class StoredObject:
    """An object as it was when it was opened; any number of threads may read it."""

    def __init__(self, address: Address) -> None:
        self.name, self.address = address.name, address
        self._storage, self._path = address.storage, address.path
        info = self._info()
        self._identity = _identity(info)
        self.size: int = _size(info, self.name)

    def fetch(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Return the bytes from each start to each end, in memory of their own.

        They are aligned in memory as in the object, modulo 64. Raises
        `RecordFormatError` for an object that was replaced, and the errors of the
        storage.
        """
        memories = [_memory(start, end - start) for start, end in ranges]
        pieces = [
            (at, min(at + REQUEST, end), memory[at - start :])
            for (start, end), memory in zip(ranges, memories, strict=True)
            for at in range(start, end, REQUEST)
        ]
        for n in range(0, len(pieces), _AT_ONCE):
            self._fetch_some(pieces[n : n + _AT_ONCE])
        return memories

    def confirm(self) -> None:
        """Raise `RecordFormatError` if the object was replaced."""
        try:
            is_same = _identity(self._info()) == self._identity
        except FileNotFoundError:
            raise self._changed("the object no longer exists") from None
        if not is_same:
            raise self._changed(
                "a different object: it was replaced since it was opened"
            )

    def beside(self, name: str) -> "StoredObject":
        """Return the object ``name`` of the same folder."""
        return StoredObject(self.address.beside(name))

    def _changed(self, problem: str) -> RecordFormatError:
        cure = "Open it again. What was read so far is from the object that was opened."
        return RecordFormatError(self.name, problem, cure=cure)

    def _info(self) -> dict[str, Any]:
        # A cached listing may be outdated.
        with storage_errors(self.address):
            self._storage.invalidate_cache(self._path)
            info: dict[str, Any] = self._storage.info(self._path)
        if info.get("type") == "directory":
            raise IsADirectoryError(f"{self.name!r} is a folder; name an object in it")
        return info

    def _fetch_some(self, pieces: Sequence[tuple[int, int, memoryview]]) -> None:
        try:
            with storage_errors(self.address):
                parts = [*self._cat([(start, end) for start, end, _ in pieces])]
        except OSError:
            self.confirm()
            raise
        for (start, end, memory), part in zip(pieces, parts, strict=True):
            if len(part) != end - start:
                self.confirm()
                raise _another_length(self.name, len(part), end - start)
            memory[: end - start] = part

    def _cat(self, ranges: Sequence[tuple[int, int]]) -> Iterable[bytes]:
        storage, path = self._storage, self._path
        if getattr(storage, "async_impl", False):
            parts: list[bytes] = storage.cat_ranges(
                [path] * len(ranges),
                [start for start, _ in ranges],
                [end for _, end in ranges],
                on_error="raise",
            )
            return parts
        exact = {} if _has_own_cat(storage) else {**_EXACT, "size": self.size}
        with _lock.here:
            return [storage.cat_file(path, *each, **exact) for each in ranges]


def _has_own_cat(storage: Any) -> bool:
    from fsspec.spec import AbstractFileSystem

    return type(storage).cat_file is not AbstractFileSystem.cat_file


def _identity(info: dict[str, Any]) -> dict[str, object]:
    return {
        key: value
        for key, value in info.items()
        if value is not None and re.sub("[-_]", "", key).lower() in _IDENTITY
    }


def _size(info: dict[str, Any], url: str) -> int:
    size = info.get("size")
    if not isinstance(size, int):
        raise RecordFormatError(
            url,
            "an object whose size the storage does not report",
            cure="Copy it to a file, or open it with fsspec and read its bytes.",
        )
    return size


def _another_length(url: str, n_bytes: int, expected: int) -> RecordFormatError:
    """Return the error for an answer with another length than the range requested.

    The object still has its size, so that the storage is to blame. Servers without
    ranges, such as ``python -m http.server``, answer with all of it.
    """
    cure = (
        "The server ignores byte ranges: copy the file from there to a local "
        "disk, or use a server that supports them."
        if n_bytes > expected
        else "The object still has its full size, so the response was cut short. "
        "Read again, or copy the object to a local disk."
    )
    return RecordFormatError(
        url,
        f"{quantity(n_bytes, 'byte')} in response to a range request",
        f"{expected:,}",
        cure,
    )


def _memory(start: int, count: int) -> memoryview:
    """Return memory aligned as in the object, so that no value is copied."""
    before = start % _ALIGN
    return fresh_memory(before + count)[before:]
