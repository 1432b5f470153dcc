"""The CRC-32 that a zip archive has of each member, compared with what lies there."""

import os
import zipfile

from ..errors import RecordChecksumError, RecordFormatError
from ..io.progress import Progress, Tally

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
        members = [member for member in archive.infolist() if member.file_size]
        if not any(member.CRC for member in members):
            return False
        tally = Tally(progress, (member.file_size for member in members))
        for member in members:
            _read_to_the_end(archive, member, file, tally)
    return True


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
        if "CRC" in str(error):
            raise RecordChecksumError(file, name) from error
        raise RecordFormatError(file, f"{name} is damaged: {error}") from error
