"""The sum of a file that nobody can imitate."""

import hashlib


def sha256_of(file: str) -> str:
    """Return the SHA-256 of all bytes of ``file``, in hexadecimal."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
