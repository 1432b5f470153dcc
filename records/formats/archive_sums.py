"""The CRC-32 that a zip archive has of each member, compared with what lies there."""

import os
import zipfile

from ..errors import RecordChecksumError, RecordFormatError

_PIECE = 1 << 20

_ZIP = b"PK\x03\x04"


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a member, compared with its sum where it has one.

    torch writes archives without sums too, if it is told to; 0 stands there then.
    """
    if not member.CRC:
        member.CRC = None  # type: ignore[assignment]  # zipfile's own "unknown"
    return archive.read(member)


def check_archive_sums(file: str) -> bool:
    """Read every member of a zip archive; return whether these have sums to compare.

    False for a file that is no such archive. Raises `RecordChecksumError` that names
    the member which differs.
    """
    if not _is_archive(file):
        return False
    with zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if member.file_size]
        if not any(member.CRC for member in members):
            return False
        for member in members:
            _read_to_the_end(archive, member, file)
    return True


def _is_archive(file: str) -> bool:
    if not os.path.isfile(file):
        return False
    with open(file, "rb") as stream:
        return stream.read(len(_ZIP)) == _ZIP


def _read_to_the_end(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: str
) -> None:
    name = f"the member {member.filename!r:.80}"
    try:
        with archive.open(member) as stream:
            while stream.read(_PIECE):
                pass
    # What stands before a member may be damaged so that zipfile takes it for packed or
    # encrypted.
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        if "CRC" in str(error):
            raise RecordChecksumError(file, name) from error
        raise RecordFormatError(file, f"{name} is damaged: {error}") from error
