"""Arrays of numpy as tensors, if they are plain numbers and nothing more."""

from typing import Any

import torch


def tensor_of_array(array: Any, path: str) -> torch.Tensor:
    """Return a copy; TypeError for what comes back without its mask or precision."""
    import numpy as np

    if type(array) not in (np.ndarray, np.memmap):
        raise TypeError(
            f"{path}: a {type(array).__module__}.{type(array).__qualname__} would come "
            "back as a plain array; store its parts, such as .data and .mask"
        )
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{path}: an array of dtype {array.dtype} is no plain numbers")
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).copy()
    try:
        return torch.from_numpy(native.reshape(array.shape))
    except TypeError as error:
        message = f"{path}: an array of dtype {array.dtype} has no dtype of torch"
        raise TypeError(message) from error
