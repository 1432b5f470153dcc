"""Numpy arrays as tensors, if they are plain numbers and nothing more."""

from typing import Any

import torch

from ...config.short_text import with_article
from ..errors import RecordError
from .dtypes import BY_NAME


def tensor_of_array(array: Any, path: str) -> torch.Tensor:
    """Return a copy; TypeError for an array that would lose its mask or precision."""
    import numpy as np

    if type(array) not in (np.ndarray, np.memmap):
        raise TypeError(
            f"{path}: "
            f"{with_article(type(array).__module__)}.{type(array).__qualname__} "
            "would be read back as a plain array; store its parts, such as "
            ".data and .mask"
        )
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{path}: an array of dtype {array.dtype} is not plain numbers")
    # In its memory order, as pickle keeps it, since products of matrices depend on it.
    native = np.array(array, array.dtype.newbyteorder("="), order="K")
    try:
        return torch.from_numpy(native)
    except TypeError as error:
        message = f"{path}: an array of dtype {array.dtype} has no matching torch dtype"
        raise TypeError(message) from error


def array_of_tensor(tensor: torch.Tensor, path: str) -> Any:
    """Return the values as an array, shared with ``tensor`` if it is on the CPU.

    RecordError for a dtype that numpy does not have.
    """
    if tensor.dtype in WITHOUT_ARRAYS:
        raise RecordError(
            f"{path}: found {tensor.dtype}, which numpy does not have, expected values "
            "of an array. Read them as a tensor from the entries of the opened record, "
            "or store the array with another precision or with keep=."
        )
    return tensor.cpu().numpy()


WITHOUT_ARRAYS = frozenset(
    dtype
    for name, dtype in BY_NAME.items()
    if name in ("bfloat16", "complex32") or name.startswith("float8")
)
"""The dtypes of files that numpy does not have."""
