"""A tensor's values a piece at a time, so that large ones take little memory."""

from collections.abc import Iterator

from torch import Tensor

PIECE = 1 << 19
"""Bytes of a piece, at most: a file is read for it, and not mapped."""


def flat_pieces(tensor: Tensor) -> Iterator[Tensor]:
    """Yield the values in order as flat tensors of at most `PIECE` bytes.

    Where the tensor is contiguous they are views of it; of other strides only a piece
    at a time is copied.
    """
    most = max(1, PIECE // tensor.dtype.itemsize)
    if tensor.is_contiguous():
        flat = tensor.reshape(-1)
        yield from (flat[i : i + most] for i in range(0, flat.numel(), most))
    elif tensor.numel() <= most:
        yield tensor.reshape(-1)
    else:
        for row in tensor:
            yield from flat_pieces(row)
