"""The CRC-32 of each member of a zip archive, compared with its content."""

import errno
import io
import os
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any

from ...config.process.interrupts import raise_of_signal
from ..errors import RecordChecksumError, RecordError, RecordFormatError
from ..io.progress import Progress, Tally
from ..io.source import Source

_PIECE = 1 << 20

_ZIP = b"PK\x03\x04"


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a member, compared with its checksum if it has one.

    torch also writes archives without checksums, on request; they are 0 then.
    """
    if not member.CRC:
        member.CRC = None  # type: ignore[assignment]  # zipfile's own "unknown"
    return archive.read(member)


def check_archive_sums(file: str, progress: Progress | None = None) -> bool:
    """Read every member of a zip archive; return whether these have checksums.

    False for a file that is not such an archive. Raises `RecordChecksumError` that
    names the member which differs. ``progress`` is called as by `verify_file`.
    """
    if not _is_archive(file):
        return False
    with _opened(file, file) as archive:
        return compare_sums(archive, file, progress)


def compare_sums(
    archive: zipfile.ZipFile, file: str, progress: Progress | None = None
) -> bool:
    """Do so with an open archive, called ``file`` in errors."""
    members = [member for member in archive.infolist() if member.file_size]
    if not any(member.CRC for member in members):
        return False
    tally = Tally(progress, (member.file_size for member in members))
    for member in members:
        _read_to_the_end(archive, member, file, tally)
    return True


def is_of_storage(error: Exception) -> bool:
    """Return whether reading has failed, rather than the archive being damaged.

    A damaged archive may lead to a position before the start of the file, which a
    system refuses as an invalid argument.
    """
    return isinstance(error, OSError) and error.errno != errno.EINVAL


class UnreadSums:
    """The checksums of an archive whose tensors are mapped pages, which are unchecked.

    Code that writes them to another file compares all, once.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._is_compared = not source.verify

    def __call__(self) -> None:
        """Raise `RecordChecksumError` for a member that differs from its checksum."""
        if self._is_compared:
            return
        with _opened(_Stream(self._source), self._source.name) as archive:
            compare_sums(archive, self._source.name)
        self._is_compared = True


class _Stream(io.RawIOBase):
    """A source as the file object that zipfile reads.

    The name of an open file may belong to another one by now.
    """

    def __init__(self, source: Source) -> None:
        self._source, self._place = source, 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {
            io.SEEK_SET: 0,
            io.SEEK_CUR: self._place,
            io.SEEK_END: self._source.size,
        }
        self._place = origin[whence] + offset
        return self._place

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = max(min(len(buffer), self._source.size - self._place), 0)
        buffer[:count] = self._source.read(self._place, count)
        self._place += count
        return count


def _is_archive(file: str) -> bool:
    if not os.path.isfile(file):
        return False
    with open(file, "rb") as stream:
        return stream.read(len(_ZIP)) == _ZIP


def _opened(file: Any, name: str) -> zipfile.ZipFile:
    with _explained(name, "its list of members"):
        return zipfile.ZipFile(file)


def _read_to_the_end(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: str, tally: Tally
) -> None:
    name = f"the member {member.filename!r:.80}"
    with _explained(file, name):
        stream = archive.open(member)
    with stream:
        while piece := _next_piece(stream, file, name):
            tally.add(len(piece), member.filename)


def _next_piece(stream: IO[bytes], file: str, name: str) -> bytes:
    with _explained(file, name):
        return stream.read(_PIECE)


@contextmanager
def _explained(file: str, name: str) -> Generator[None]:
    """Convert whatever zipfile raises for damaged bytes to a `RecordError`.

    It has no common base: a name in another encoding than its flag states is a
    UnicodeDecodeError, a member that looks packed or encrypted a RuntimeError.
    """
    try:
        yield
    except RecordError:
        raise
    except Exception as error:
        raise_of_signal(error)
        if is_of_storage(error):
            raise
        if "CRC" in str(error):
            raise RecordChecksumError(file, name) from error
        reason = str(error).rstrip(".")
        raise RecordFormatError(file, f"{name} is damaged: {reason}") from error
