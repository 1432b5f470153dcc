"""Files of `.safetensors` with headers of any content."""

import json
import struct
from collections.abc import Callable
from typing import Any

import torch

from burnish.records import (
    Record,
)
from burnish.records.recorder import Recorder

Tensors = dict[str, torch.Tensor]


SAFE = Recorder("safetensors")


def saved(tensors: Tensors, **metadata: Any) -> bytes:
    return SAFE.dumps(Record.from_state_dict(tensors), metadata=metadata)


def header_of(data: bytes) -> Any:
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length])


def file_of(header: Any, payload: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


def row(dtype: str, shape: Any, start: Any, end: Any) -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


F32 = row("F32", [1], 0, 4)


def ours_with(change: Callable[[Any], object]) -> bytes:
    """Return our file of two tensors, what it says under our key changed."""
    data = saved({"a": torch.ones(2), "b": torch.zeros(3)}, note="hello")
    header = header_of(data)
    ours = json.loads(header["__metadata__"]["burnish"])
    change(ours)
    header["__metadata__"]["burnish"] = json.dumps(ours)
    (length,) = struct.unpack("<Q", data[:8])
    return file_of(header, data[8 + length :])


def setting(*keys: str, to: Any) -> Callable[[Any], None]:
    def change(ours: Any) -> None:
        for key in keys[:-1]:
            ours = ours[key]
        ours[keys[-1]] = to

    return change


SUM = "0" * 16
