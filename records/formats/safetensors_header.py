"""The header of a `.safetensors` file: read, and checked before anything is."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ..errors import TRUNCATED, RecordFormatError
from ..header.columns import is_shape
from ..io.source import Source
from ..source_errors import wrong_size
from .json_reader import JsonReader, quick_value

MAX_HEADER = 100_000_000
"""Bytes of a header, at most: the library's own limit."""

# In the order of the library: the widest come first, so that all are aligned.
DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, dtype)
    for name, dtype in (
        ("U64", "uint64"),
        ("I64", "int64"),
        ("F64", "float64"),
        ("C64", "complex64"),
        ("F32", "float32"),
        ("U32", "uint32"),
        ("I32", "int32"),
        ("BF16", "bfloat16"),
        ("F16", "float16"),
        ("U16", "uint16"),
        ("I16", "int16"),
        ("F8_E5M2FNUZ", "float8_e5m2fnuz"),
        ("F8_E4M3FNUZ", "float8_e4m3fnuz"),
        ("F8_E8M0", "float8_e8m0fnu"),
        ("F8_E4M3", "float8_e4m3fn"),
        ("F8_E5M2", "float8_e5m2"),
        ("I8", "int8"),
        ("U8", "uint8"),
        ("BOOL", "bool"),
    )
    if hasattr(torch, dtype)
}

Tensor = tuple[torch.dtype, tuple[int, ...], int]
"""Dtype, shape, and where the bytes begin, counted from the header's end."""


METADATA = "__metadata__"
"""The key of the header that no tensor may have for its name."""


def read_safetensors_header(
    source: Source, budget: int
) -> tuple[dict[str, Tensor], dict[str, str], int]:
    """Return the tensors, the metadata, and where the data begins.

    ``budget`` is how much memory the metadata may take beyond what every file may.
    """
    length = int.from_bytes(source.read(0, 8), "little")
    if length > min(MAX_HEADER, source.size - 8):
        raise RecordFormatError(
            source.name,
            f"a header of {length:,} bytes in a file of {source.size:,}",
            cure=TRUNCATED,
        )
    text = bytes(source.read(8, length))
    quick = quick_value(text, budget)
    members = (
        iter(quick.items())
        if isinstance(quick, dict)
        else _members(text, source.name, budget)
    )
    # One object for all dtypes and shapes that are equal: a file has thousands.
    shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for key, value in members:
        if key == METADATA:
            metadata = _checked_metadata(value, source.name)
        else:
            dtype, shape, start = _checked_tensor(key, value, source.name)
            tensors[key] = dtype, shapes.setdefault(shape, shape), start
    return tensors, metadata, 8 + length


def _members(text: bytes, file: str, budget: int) -> Iterator[tuple[str, Any]]:
    """Return keys and values one by one, with memory for one of them."""
    reader = JsonReader.of(text, file, budget)
    before = reader.spent
    for key in reader.members():
        value = reader.value()
        yield key, value
        if key != METADATA:
            # What is kept of it is an entry, which every file may have.
            reader.settle(before)
        before = reader.spent
    if reader.next():
        raise reader.error("something after the end")


def _checked_metadata(value: object, file: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(text, str)
        for text in value.values()  # pyright: ignore[reportUnknownVariableType]  # any map
    ):
        raise RecordFormatError(file, "metadata that is no map of texts")
    return value  # pyright: ignore[reportUnknownVariableType]  # checked above


def _checked_tensor(name: str, value: object, file: str) -> Tensor:
    subject = f"{name!r:.80}"
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:  # pyright: ignore[reportUnknownArgumentType]  # any map
        raise RecordFormatError(
            file, f"{subject} has other keys than a tensor must have"
        )
    fields: dict[str, Any] = value
    dtype = DTYPES.get(fields["dtype"]) if isinstance(fields["dtype"], str) else None
    if dtype is None:
        raise RecordFormatError(
            file,
            f"{subject} has the dtype {fields['dtype']!r:.40}",
            f"one of {', '.join(DTYPES)}",
        )
    if not is_shape(fields["shape"]):
        raise RecordFormatError(
            file, f"{subject} has the shape {fields['shape']!r:.80}"
        )
    place = fields["data_offsets"]
    if not is_shape(place) or len(place) != 2 or place[0] > place[1]:
        raise RecordFormatError(file, f"{subject} has the offsets {place!r:.80}")
    size = _size(dtype, fields["shape"])
    if place[1] - place[0] != size:
        raise RecordFormatError(
            file,
            f"{subject} has {place[1] - place[0]:,} bytes",
            f"{size:,}, by its shape",
        )
    return dtype, tuple(fields["shape"]), place[0]


def names_in_order(tensors: dict[str, Tensor]) -> list[str]:
    """Return the names in the order in which they lie in the file."""

    def place(name: str) -> tuple[int, int]:
        # Of those that begin together, the empty ones come first.
        dtype, shape, start = tensors[name]
        return start, _size(dtype, shape)

    return sorted(tensors, key=place)


def check_spans(tensors: dict[str, Tensor], source: Source, data: int) -> None:
    """Raise unless the tensors lie one after the other and fill the file."""
    at = 0
    for name in names_in_order(tensors):
        dtype, shape, start = tensors[name]
        if start != at:
            problem = (
                "overlaps the one before it"
                if start < at
                else "leaves a hole before it"
            )
            raise RecordFormatError(source.name, f"{name!r:.80} {problem}")
        at = start + _size(dtype, shape)
    if data + at != source.size:
        raise wrong_size(source, data + at)


def _size(dtype: torch.dtype, shape: Sequence[int]) -> int:
    return math.prod(shape) * dtype.itemsize
