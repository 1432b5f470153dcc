"""StoredFolder: objects of a storage whose addresses begin alike."""

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
    """Return the content of a short file or object, or the first ``most`` + 1 bytes."""
    if isinstance(place, Path):
        return read_file(place, most)
    return StoredFolder(place.parent).read(place.name)


def write_place(place: Place, text: str) -> None:
    """Have ``text`` be a file or an object, which replaces the older one whole."""
    if isinstance(place, Path):
        write_text(place, text)
    else:
        StoredFolder(place.parent).write(place.name, text.encode())


ABANDONED = 24 * 3600.0
"""Seconds after which what no save has completed is taken for a killed one's."""


class StoredFolder:
    """A folder of a storage, which need not be made, and is not where it is empty.

    What the storage answers with is raised as OSError with the URL.
    """

    def __init__(self, url: Url) -> None:
        self.url = url
        self._address = address_of(url)

    def read(self, name: str) -> bytes:
        """Return the content of a short object; FileNotFoundError if there is none."""
        address = self._at(name)
        with storage_errors(address):
            # Whole, by one request: the pieces of two might be of two objects.
            content: bytes = address.storage.cat_file(address.path)
        return content

    def write(self, name: str, content: bytes) -> None:
        """Have ``content`` be an object, which replaces the older one whole."""
        with uploading(self._at(name), len(content)) as upload:
            upload.write(content)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, in order; those that are not there are left out."""
        for name in names:
            address = self._at(name)
            try:
                with storage_errors(address):
                    # Not `rm`, for which `*` in the name of a folder is a pattern.
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
        """Return what lies in ``folder`` of it, at any depth, and its age in seconds.

        By names that begin with that of ``folder``; None where the age is unknown.
        """
        rows = self._listed("find", folder, detail=True)
        start = len(self._address.path.rstrip("/")) + 1
        return {row["name"][start:]: _age(row) for row in rows.values()}

    def _listed(self, method: str, folder: str = "", **options: Any) -> Any:
        address = self._at(folder) if folder else self._address
        storage = address.storage
        with storage_errors(address):
            # What was listed before says what was there then.
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
    """Return whether S3 knows not even the bucket: no run begins there."""
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
    """Return how many seconds ago an object was written, as its storage tells it."""
    when = next((row[key] for key in _TIMES if row.get(key) is not None), None)
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    if isinstance(when, datetime):
        when = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return time.time() - when if isinstance(when, int | float) else None
