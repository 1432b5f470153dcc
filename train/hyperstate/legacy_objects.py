"""Objects in checkpoints of the older HyperState: MessagePack with arrays."""

from typing import Any

import numpy as np
import torch

from ...records.errors import RecordFormatError
from .stored_files import StoredFiles


def read_legacy_object(files: StoredFiles, name: str, path: str) -> Any:
    """Return the plain data in a file. Raises RecordFormatError for other content."""
    import msgpack

    try:
        data = files.data(name)
    except FileNotFoundError as error:
        error.strerror = f"the file of the state's {path!r} is missing"
        raise
    try:
        return msgpack.unpackb(data, strict_map_key=False, object_hook=_decode_array)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        content = f"not MessagePack of plain data and arrays ({error!s:.100})"
        raise RecordFormatError(str(files.file(name)), content) from error


def _decode_array(tree: dict[Any, Any]) -> Any:
    fields = {k.decode() if isinstance(k, bytes) else k: v for k, v in tree.items()}
    if "nd" in fields:
        array = np.frombuffer(fields["data"], _dtype(fields["type"]))
        return array.reshape(fields["shape"]).copy() if fields["nd"] else array[0]
    if "__tensor__" in fields:
        name = str(fields["dtype"]).removeprefix("torch.")
        dtype = getattr(torch, name)
        flat = torch.frombuffer(bytearray(fields["data"]), dtype=dtype)
        return flat.reshape(fields["shape"])
    return tree


def _dtype(name: Any) -> np.dtype[Any]:
    dtype = np.dtype(name.decode() if isinstance(name, bytes) else name)
    if dtype.kind not in "biufc":
        raise ValueError(f"an array of dtype {dtype} is not plain numbers")
    return dtype
