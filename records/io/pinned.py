"""Files that must have a SHA-256 known to the reader from elsewhere."""

import hashlib
from typing import Any

from ...config.short_text import quantity
from ..errors import PinnedDigestError
from .source import FileSource, MemorySource, Source

_BLOCK = 1 << 20


def check_sha256(digest: Any, name: str = "sha256") -> str:
    """Return ``digest`` in lower case; ``name`` is its name for users.

    TypeError if it is not a string, ValueError unless it is 64 hexadecimal digits.
    """
    cure = "`sha256sum FILE` or `burnish show --digest FILE` prints it"
    if not isinstance(digest, str):
        kind = type(digest).__name__
        raise TypeError(
            f"{name} must be a str of 64 hexadecimal digits, got {kind}; {cure}"
        )
    if len(digest) != 64 or not set(digest.lower()) <= set("0123456789abcdef"):
        n = quantity(len(digest), "character")
        raise ValueError(
            f"{name} must be 64 hexadecimal digits, got {digest!r:.80} ({n}); {cure}"
        )
    return digest.lower()


def pinned(source: Source, sha256: str) -> Source:
    """Return a source of the bytes of ``source``, all of which were hashed.

    From now on it opens no other file beside it. A file is read again; a stream is kept
    in memory, since a server may answer differently the next time. Raises
    `PinnedDigestError` if the digest differs, with ``source`` closed.
    """
    expected = check_sha256(sha256)
    try:
        if not isinstance(source, FileSource):
            content = source.read(0, source.size)
            source = MemorySource(content, name=source.name, verify=source.verify)
        digest = _sha256_of(source)
        if digest != expected:
            raise PinnedDigestError(source.name, digest, expected)
        source.is_alone = True
    except BaseException:
        source.close()
        raise
    return source


def _sha256_of(source: Source) -> str:
    total = hashlib.sha256()
    for start in range(0, source.size, _BLOCK):
        total.update(source.read(start, min(_BLOCK, source.size - start)))
    return total.hexdigest()
