"""A tensor's values piece by piece, so that large ones take little memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

PIECE = 1 << 19
"""Maximal size of a piece, in bytes: a file is read for it, and not mapped."""


def flat_pieces(tensor: Tensor) -> Iterator[Tensor]:
    """Yield the values in order as flat tensors of at most `PIECE` bytes.

    If the tensor is contiguous they are views of it; otherwise only a piece at a time
    is copied.
    """
    most = max(1, PIECE // tensor.dtype.itemsize)
    return (piece.reshape(-1) for piece in row_major_pieces(tensor, most))


def row_major_pieces(tensor: Tensor, limit: int) -> Iterator[Tensor]:
    """Return the tensor in row-major order as parts of at most ``limit`` values."""
    if tensor.numel() <= limit or not tensor.ndim:
        if tensor.numel():
            yield tensor
        return
    if tensor.is_contiguous():
        yield from torch.split(tensor.view(-1), limit)
        return
    # A view is copied to become flat, so it is cut along its first dimension until a
    # part fits: no more than one part is ever in memory twice.
    row = tensor.numel() // tensor.shape[0]
    if row > limit:
        for part in tensor.unbind(0):
            yield from row_major_pieces(part, limit)
        return
    yield from torch.split(tensor, max(1, limit // row))
