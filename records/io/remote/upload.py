"""Uploads: an object that is replaced atomically, once all of it was sent."""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from ....config.process.interrupts import raise_of_signal, suppressed
from .address import Address, storage_error

PART = 8 << 20
"""Minimal bytes of a part; shorter content is one request."""
_MOST_PARTS = 9_000
"""S3 allows 10,000, and a record may become a little longer than estimated."""


class Upload:
    """A file object whose bytes are not visible before `commit`."""

    def __init__(self, address: Address, size: int) -> None:
        self.name = address.name
        self._address = address
        self.part = max(PART, -(-size // _MOST_PARTS))
        """Bytes of each part."""
        self._first = bytearray()
        self._stream: _Stream | _ScratchStream | None = None

    def write(self, data: Any) -> int:
        """Take all of ``data``, and send parts that are complete."""
        view = memoryview(data).cast("B")
        if self._stream is None and len(self._first) + len(view) <= self.part:
            self._first += view
            return len(view)
        with self._explained():
            self._opened().write(view)
        return len(view)

    def commit(self) -> None:
        """Make the written content the object."""
        with self._explained():
            if self._stream is None and _puts_whole(self._address.storage):
                self._address.storage.pipe_file(self._address.path, bytes(self._first))
                return
            self._opened().commit()

    def discard(self) -> None:
        """Keep the old object, and discard what was sent."""
        if self._stream is not None:
            # A discard follows an error, which this one must not replace.
            with suppressed(Exception):
                self._stream.discard()

    def _opened(self) -> "_Stream | _ScratchStream":
        stream = self._stream
        if stream is None:
            stream = self._stream = _stream_to(self._address, self.part)
            stream.write(self._first)
            self._first = bytearray()
        return stream

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except Exception as error:
            raise_of_signal(error)
            note = "; what was saved there before is unchanged"
            raise storage_error(error, self._address, note) from error


@contextmanager
def uploading(address: Address, size: int) -> Generator[Upload]:
    """Yield a file for about ``size`` bytes, which becomes the object at the end.

    If the block raises, the old object is unchanged. A killed process leaves parts that
    are not visible, which the storage's own rules remove. Raises OSError, with the
    storage's message.
    """
    if address.is_read_only:
        raise OSError(
            errno.EROFS,
            "http URLs are read-only; save to a file and upload it, or save to "
            "a storage that fsspec writes to (s3://, gs://, abfs://, ...)",
            address.name,
        )
    upload = Upload(address, size)
    try:
        yield upload
        upload.commit()
    except BaseException:
        upload.discard()
        raise


class _Stream:
    """A file of a storage that shows its content on commit."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: Any) -> None:
        self._file.write(data)

    def commit(self) -> None:
        self._file.close()
        self._file.commit()

    def discard(self) -> None:
        # Closing it would send the rest first.
        if not self._file.closed:
            _abandon(self._file)
        self._file.discard()


class _ScratchStream:
    """A file under another name, which is renamed at the end."""

    def __init__(self, file: Any, address: Address, scratch: str) -> None:
        self._file, self._address, self._scratch = file, address, scratch

    def write(self, data: Any) -> None:
        self._file.write(data)

    def commit(self) -> None:
        self._file.close()
        self._address.storage.mv(self._scratch, self._address.path)

    def discard(self) -> None:
        with suppressed(Exception):
            self._file.close()
        self._address.storage.rm_file(self._scratch)


def _stream_to(address: Address, part: int) -> "_Stream | _ScratchStream":
    """Return the upload for the bytes of a long object."""
    storage, path = address.storage, address.path
    # Whether a storage delays visibility is only known from a file, and opening the
    # object itself might empty it.
    scratch = f"{path}.{os.urandom(6).hex()}.part"
    file = storage.open(scratch, "wb", autocommit=False, block_size=part)
    if not _waits(file):
        return _ScratchStream(file, address, scratch)
    _abandon(file)
    return _Stream(storage.open(path, "wb", autocommit=False, block_size=part))


def _abandon(file: Any) -> None:
    """Prevent a file that is being written from sending more."""
    from fsspec.spec import AbstractBufferedFile

    if isinstance(file, AbstractBufferedFile):
        file.closed = True
        return
    with suppressed(Exception):
        file.close()
        file.discard()


def _waits(file: Any) -> bool:
    """Return whether content becomes visible only at `commit`."""
    from fsspec.implementations.memory import MemoryFile
    from fsspec.spec import AbstractBufferedFile

    if isinstance(file, AbstractBufferedFile):
        kind, base = type(file), AbstractBufferedFile
        return kind.commit is not base.commit and kind.discard is not base.discard
    # Files in memory have both methods, and replace the old one when opened.
    has_both = hasattr(file, "commit") and hasattr(file, "discard")
    return has_both and not isinstance(file, MemoryFile)


def _puts_whole(storage: Any) -> bool:
    """Return whether bytes in memory become an object by one request."""
    from fsspec.spec import AbstractFileSystem

    # Asynchronous storages have it as an attribute of the object, not of the class.
    is_own = type(storage).pipe_file is not AbstractFileSystem.pipe_file
    return is_own or bool(getattr(storage, "async_impl", False))
