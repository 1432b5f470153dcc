"""The CRC-32 that a zip archive has of each member, compared with what lies there."""

import io
import os
import zipfile
from typing import Any

from ...config.process.interrupts import raise_of_signal
from ..errors import RecordChecksumError, RecordFormatError
from ..io.progress import Progress, Tally
from ..io.source import Source

_PIECE = 1 << 20

_ZIP = b"PK\x03\x04"


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a member, compared with its sum where it has one.

    torch writes archives without sums too, if it is told to; 0 stands there then.
    """
    if not member.CRC:
        member.CRC = None  # type: ignore[assignment]  # zipfile's own "unknown"
    return archive.read(member)


def check_archive_sums(file: str, progress: Progress | None = None) -> bool:
    """Read every member of a zip archive; return whether these have sums to compare.

    False for a file that is no such archive. Raises `RecordChecksumError` that names
    the member which differs. ``progress`` is called as by `verify_file`.
    """
    if not _is_archive(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return compare_sums(archive, file, progress)


def compare_sums(
    archive: zipfile.ZipFile, file: str, progress: Progress | None = None
) -> bool:
    """Do so with an open archive, which errors call ``file``."""
    members = [member for member in archive.infolist() if member.file_size]
    if not any(member.CRC for member in members):
        return False
    tally = Tally(progress, (member.file_size for member in members))
    for member in members:
        _read_to_the_end(archive, member, file, tally)
    return True


class UnreadSums:
    """The sums of an archive whose tensors are pages of it, which nobody compares.

    Whatever writes them to another file compares all, once.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._is_compared = not source.verify

    def __call__(self) -> None:
        """Raise `RecordChecksumError` for a member that differs from its sum."""
        if self._is_compared:
            return
        with zipfile.ZipFile(_Stream(self._source)) as archive:
            compare_sums(archive, self._source.name)
        self._is_compared = True


class _Stream(io.RawIOBase):
    """A source as the file object that zipfile reads.

    Another file may have taken the name of an open one by now.
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


def _read_to_the_end(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: str, tally: Tally
) -> None:
    name = f"the member {member.filename!r:.80}"
    try:
        with archive.open(member) as stream:
            while piece := stream.read(_PIECE):
                tally.add(len(piece), member.filename)
    # What stands before a member may be damaged so that zipfile takes it for packed or
    # encrypted.
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise_of_signal(error)
        if "CRC" in str(error):
            raise RecordChecksumError(file, name) from error
        raise RecordFormatError(file, f"{name} is damaged: {error}") from error
