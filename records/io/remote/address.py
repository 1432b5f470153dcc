"""A URL as fsspec takes it: the storage, and the path of an object there."""

import os
from typing import Any, BinaryIO, NamedTuple, TypeGuard


class Address(NamedTuple):
    """Where an object lies."""

    url: str
    storage: Any
    """The file system of fsspec."""
    path: str

    @property
    def local_path(self) -> str | None:
        """The path on this machine, if that is what the URL means."""
        from fsspec.implementations.local import LocalFileSystem

        return self.path if isinstance(self.storage, LocalFileSystem) else None

    def beside(self, name: str) -> "Address":
        """Return the object ``name`` of the same folder."""
        url, path = (text.rpartition("/")[0] for text in (self.url, self.path))
        return Address(f"{url}/{name}", self.storage, f"{path}/{name}")


def is_url(file: object) -> TypeGuard[str]:
    """Return whether ``file`` is the address of an object, and no path."""
    return isinstance(file, str) and "://" in file


def address_of(url: str) -> Address:
    """Return where ``url`` leads; nothing is asked of the storage yet.

    Raises ImportError that names the package which knows such URLs, and ValueError for
    a URL that nothing knows.
    """
    try:
        import fsspec
    except ImportError:
        raise ImportError(f"{url} needs fsspec: pip install fsspec") from None
    storage, path = fsspec.core.url_to_fs(url)
    return Address(url, storage, path)


def local_or_url(file: str | os.PathLike[str]) -> str | Address:
    """Return a path of this machine, or the address of an object elsewhere."""
    if not is_url(file):
        return os.fsdecode(file)
    address = address_of(file)
    return address.local_path or address


def open_in_order(file: str | os.PathLike[str]) -> BinaryIO:
    """Open a path or a URL, to be read from its beginning to its end."""
    place = local_or_url(file)
    if not isinstance(place, Address):
        return open(place, "rb")
    opened: BinaryIO = place.storage.open(place.path, "rb", block_size=_IN_ORDER)
    return opened


def size_at(file: str | os.PathLike[str]) -> int | None:
    """Return how many bytes stand at a path or a URL; None if no file does."""
    place = local_or_url(file)
    try:
        if not isinstance(place, Address):
            return os.path.getsize(place) if os.path.isfile(place) else None
        place.storage.invalidate_cache(place.path)
        info: dict[str, Any] = place.storage.info(place.path)
    except FileNotFoundError:
        return None
    return info["size"] if info.get("type") == "file" else None


def is_taken(file: str | os.PathLike[str]) -> bool:
    """Return whether anything stands at a path or a URL."""
    place = local_or_url(file)
    if not isinstance(place, Address):
        return os.path.lexists(place)
    return size_at(file) is not None


_IN_ORDER = 16 << 20
"""Bytes that are fetched at once of what is read in order."""
