"""A cryptographic digest of a file."""

import hashlib
from collections.abc import Callable

from ..records.io.remote.address import open_in_order

_PIECE = 1 << 20


def sha256_of(file: str, advance: Callable[[int], object] = lambda count: None) -> str:
    """Return the SHA-256 of all bytes of ``file``, in hexadecimal.

    ``advance`` is called with the number of bytes read since its last call.
    """
    digest = hashlib.sha256()

    with open_in_order(file) as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            advance(len(piece))
    return digest.hexdigest()
