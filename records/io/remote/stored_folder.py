"""StoredFolder: objects of a storage whose addresses have a common prefix."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ....config.storage.opening import read_file
from ....config.storage.replacement import write_text
from .address import Address, address_of, first_failure, storage_errors
from .upload import uploading
from .url import Place, Url


def read_place(place: Place, most: int) -> bytes:
    """Return the content of a short file or object, or its first ``most`` + 1 bytes."""
    if isinstance(place, Path):
        return read_file(place, most)
    return StoredFolder(place.parent).read(place.name)


def write_place(place: Place, text: str) -> None:
    """Write ``text`` to a file or an object, replacing the older one atomically."""
    if isinstance(place, Path):
        write_text(place, text)
    else:
        StoredFolder(place.parent).write(place.name, text.encode())


ABANDONED = 24 * 3600.0
"""Seconds after which an incomplete save counts as that of a killed program."""


class StoredFolder:
    """A folder of a storage, which is not created, and does not exist while empty.

    Errors of the storage are raised as OSError with the URL.
    """

    def __init__(self, url: Url) -> None:
        self.url = url
        self._address = address_of(url)

    def read(self, name: str) -> bytes:
        """Return the content of a short object; FileNotFoundError if there is none."""
        address = self._at(name)
        with storage_errors(address):
            # As a whole, by one request: two requests might read two objects.
            content: bytes = address.storage.cat_file(address.path)
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write ``content`` to an object, replacing the older one atomically."""
        with uploading(self._at(name), len(content)) as upload:
            upload.write(content)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, in order; missing ones are skipped."""
        for name in names:
            address = self._at(name)
            try:
                with storage_errors(address):
                    # Not by `rm`, for which `*` in the name of a folder is a pattern.
                    address.storage.rm_file(address.path)
            except FileNotFoundError:
                continue

    def folders(self) -> list[str]:
        """Return the names of the folders in it, by one listing, in order."""
        return sorted(
            row["name"].rstrip("/").rpartition("/")[2]
            for row in self._listed("ls", detail=True)
            if row["type"] == "directory"
        )

    def files(self, folder: str = "") -> dict[str, float | None]:
        """Return the objects in its ``folder``, at any depth, with their age (seconds).

        By names that begin with that of ``folder``; None if the age is unknown.
        """
        rows = self._listed("find", folder, detail=True)
        start = len(self._address.path.rstrip("/")) + 1
        return {row["name"][start:]: _age(row) for row in rows.values()}

    def _listed(self, method: str, folder: str = "", **options: Any) -> Any:
        address = self._at(folder) if folder else self._address
        storage = address.storage
        with storage_errors(address):
            # A cached listing may be outdated.
            storage.invalidate_cache(address.path)
            try:
                return getattr(storage, method)(address.path, **options)
            except FileNotFoundError as error:
                if _lacks_bucket(error) or first_failure(error) is not error:
                    raise
                return [] if method == "ls" else {}

    def _at(self, name: str) -> Address:
        url, path = self.url / name, f"{self._address.path.rstrip('/')}/{name}"
        return Address(url, self._address.storage, path)


def _lacks_bucket(error: BaseException) -> bool:
    """Return whether the bucket itself is missing, so that no run can start there."""
    cause: BaseException | None = error
    while cause is not None:
        response = getattr(cause, "response", None)
        facts = response.get("Error") if isinstance(response, dict) else None
        if isinstance(facts, dict) and facts.get("Code") == "NoSuchBucket":
            return True
        cause = cause.__cause__ or cause.__context__
    return False


_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")


def _age(row: dict[str, Any]) -> float | None:
    """Return the age of an object in seconds, as its storage reports it."""
    when = next((row[key] for key in _TIMES if row.get(key) is not None), None)
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    if isinstance(when, datetime):
        when = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return time.time() - when if isinstance(when, int | float) else None
