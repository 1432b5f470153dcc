"""A URL in fsspec's terms: the storage, and the path of an object there."""

import errno
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple, TypeGuard

from ....config.process.interrupts import raise_of_signal


class Address(NamedTuple):
    """The location of an object."""

    url: str
    storage: Any
    """The file system of fsspec."""
    path: str

    @property
    def name(self) -> str:
        """The URL as shown in errors."""
        return without_secrets(self.url)

    @property
    def is_read_only(self) -> bool:
        """Whether it is known that nothing can be written there."""
        protocol = self.storage.protocol
        return "http" in ((protocol,) if isinstance(protocol, str) else protocol)

    @property
    def local_path(self) -> str | None:
        """The path on this machine, if the URL refers to one."""
        from fsspec.implementations.local import LocalFileSystem

        return self.path if isinstance(self.storage, LocalFileSystem) else None

    def beside(self, name: str) -> "Address":
        """Return the object ``name`` of the same folder."""
        url, path = (text.rpartition("/")[0] for text in (self.url, self.path))
        return Address(f"{url}/{name}", self.storage, f"{path}/{name}")


def is_url(file: object) -> TypeGuard[str]:
    """Return whether ``file`` is the address of an object, not a path."""
    return isinstance(file, str) and file.find("://") > 0


def without_secrets(url: str) -> str:
    """Return ``url`` without passwords and signatures."""
    return _SIGNATURE.sub(r"\1=...", _PASSWORD.sub(r"\1:...@", url))


_PASSWORD = re.compile(r"(://[^/:@?#]*):[^/@?#]*@")
_SIGNATURE = re.compile(
    r"(?i)([?&][a-z-]*(?:signature|token|sig|secret|credential|password|key))=[^&#]*"
)


def address_of(url: str) -> Address:
    """Return the location of ``url``; the storage is not contacted yet.

    Raises ImportError that names the package for such URLs, and ValueError for an
    unknown kind of URL.
    """
    try:
        import fsspec
    except ImportError:
        raise ImportError(f"{url} needs fsspec: pip install fsspec") from None
    try:
        storage, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise ImportError(f"{without_secrets(url)}: {error}") from error
    except ValueError as error:
        raise ValueError(
            f"{without_secrets(url)} is neither a path nor a URL that fsspec "
            f"knows: {error}"
        ) from error
    return Address(url, storage, path)


@contextmanager
def storage_errors(address: Address) -> Generator[None]:
    """Raise errors of a storage as OSError with the URL, and without secrets."""
    try:
        yield
    except Exception as error:
        raise_of_signal(error)
        raise storage_error(error, address) from error


def storage_error(error: Exception, address: Address, note: str = "") -> OSError:
    """Return a storage's error as an OSError, whose text ends in ``note``."""
    error = first_failure(error)
    text = str(getattr(error, "strerror", None) or error)
    if isinstance(error, FileNotFoundError) and text == address.path:
        # Some storages only state the path, and not what is wrong with it.
        text = os.strerror(errno.ENOENT)
    if isinstance(error, NotImplementedError):
        text = f"this kind of storage cannot be written to {text}".strip()
    text = without_secrets(text or type(error).__name__)
    if "Credentials" in type(error).__name__:
        text += "; pass them as the package for this storage expects them"
        return PermissionError(errno.EACCES, text + note, address.name)
    kinds = (number for kind, number in _ERRNO.items() if isinstance(error, kind))
    number = getattr(error, "errno", None) or next(kinds, errno.EIO)
    if getattr(error, "status", None) in _FORBIDDEN:
        number = errno.EACCES
    # The error numbers of names that cannot be resolved are negative, unlike the
    # system's.
    return OSError(max(number, 0) or errno.EIO, text + note, address.name)


def first_failure(error: Exception) -> Exception:
    """Return the real error of a storage that calls every failure a missing file.

    A server that is unreachable, or refuses, does not prove that the file is missing.
    """
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or isinstance(cause, FileNotFoundError):
        return error
    status = getattr(cause, "status", None)
    is_answer = type(status) is int and status not in _MISSING
    is_failure = is_answer or isinstance(cause, OSError)
    return cause if is_failure and isinstance(cause, Exception) else error


_MISSING, _FORBIDDEN = (404, 410), (401, 403)
"""The status codes of HTTP servers for missing and for refused objects."""


_ERRNO: dict[type[Exception], int] = {
    FileNotFoundError: errno.ENOENT,
    PermissionError: errno.EACCES,
    NotADirectoryError: errno.ENOTDIR,
    IsADirectoryError: errno.EISDIR,
    NotImplementedError: errno.EROFS,
    TimeoutError: errno.ETIMEDOUT,
}


def local_or_url(file: str | os.PathLike[str]) -> str | Address:
    """Return a path of this machine, or the address of an object elsewhere."""
    if not is_url(file):
        return os.fsdecode(file)
    address = address_of(file)
    return address.local_path or address


def open_in_order(file: str | os.PathLike[str]) -> BinaryIO:
    """Open a path or a URL, to be read sequentially."""
    place = local_or_url(file)
    if not isinstance(place, Address):
        return open(place, "rb")
    with storage_errors(place):
        opened: BinaryIO = place.storage.open(place.path, "rb", block_size=_IN_ORDER)
        return opened


def size_at(file: str | os.PathLike[str]) -> int | None:
    """Return the size of the file at a path or a URL; None if there is none."""
    place = local_or_url(file)
    try:
        if not isinstance(place, Address):
            return os.path.getsize(place) if os.path.isfile(place) else None
        with storage_errors(place):
            place.storage.invalidate_cache(place.path)
            info: dict[str, Any] = place.storage.info(place.path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return info["size"] if info.get("type") == "file" else None


def is_taken(file: str | os.PathLike[str]) -> bool:
    """Return whether a path or a URL exists."""
    place = local_or_url(file)
    if not isinstance(place, Address):
        return os.path.lexists(place)
    return size_at(file) is not None


_IN_ORDER = 16 << 20
"""Bytes per request of sequential reads."""
