"""The sum of a file that nobody can imitate."""

import hashlib
from collections.abc import Callable

from ..records.io.remote.address import open_in_order

_PIECE = 1 << 20


def sha256_of(file: str, advance: Callable[[int], object] = lambda count: None) -> str:
    """Return the SHA-256 of all bytes of ``file``, in hexadecimal.

    ``advance`` is called with how many bytes more are done.
    """
    digest = hashlib.sha256()

    with open_in_order(file) as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            advance(len(piece))
    return digest.hexdigest()
