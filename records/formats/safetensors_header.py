"""The header of a `.safetensors` file: read, and checked before anything is."""

import math
import re
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch

from ...config.short_text import quantity
from ..errors import TRUNCATED, ForeignFileError, RecordFormatError
from ..header.columns import is_shape
from ..io.source import Source
from ..source_errors import wrong_size
from .json_reader import JsonReader, quick_value
from .long_texts import LongText, read_long_text

MAX_HEADER = 100_000_000
"""Maximal bytes of a header: the library's own limit."""

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

Type: TypeAlias = tuple[torch.dtype, tuple[int, ...]]
"""Dtype and shape."""


class HeaderTensors:
    """The tensors in a header: a number by name, and columns by number.

    All equal dtypes and shapes share one object, since a file has thousands.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        """By name; columns have the order of the header."""
        self.types: list[Type] = []
        self.starts = array("q")
        """Where the bytes begin, counted from the header's end."""
        self._known_types: dict[Type, Type] = {}

    def add(self, name: str, tensor: tuple[torch.dtype, tuple[int, ...], int]) -> None:
        """Add dtype, shape and start of a tensor."""
        dtype, shape, start = tensor
        self.numbers[name] = len(self.types)
        self.types.append(self._known_types.setdefault((dtype, shape), (dtype, shape)))
        self.starts.append(start)

    def in_order(self) -> list[str]:
        """Return the names in the order of the file."""
        names = list(self.numbers)

        def place(number: int) -> tuple[int, int]:
            # Of those that begin together, the empty ones come first.
            return self.starts[number], bytes_of_type(*self.types[number])

        return [names[i] for i in sorted(self.numbers.values(), key=place)]


METADATA = "__metadata__"
"""The key of the header that cannot be the name of a tensor."""
OURS = "burnish"
"""The key of the metadata for what the library has no field for."""


class SafeTensorsHeader(NamedTuple):
    """The content of a file before its values."""

    tensors: HeaderTensors
    metadata: dict[str, str]
    """Metadata of other programs."""
    ours: LongText | None
    """This library's data about the record, in JSON; None in files of others."""
    data: int
    """Where the values begin."""


def read_safetensors_header(source: Source, budget: int) -> SafeTensorsHeader:
    """Return the header of ``source``, checked.

    ``budget`` is the memory that the metadata may take beyond what every file may.
    """
    length = int.from_bytes(source.read(0, 8), "little")
    if length > min(MAX_HEADER, source.size - 8):
        raise RecordFormatError(
            source.name,
            f"a header of {quantity(length, 'byte')} in a file of {source.size:,}",
            cure=TRUNCATED,
        )
    tensors = HeaderTensors()
    metadata: dict[str, Any] = {}
    for key, value in _members(read_long_text(source, 8, length), source.name, budget):
        if key == METADATA:
            metadata = _checked_metadata(value, source.name)
        else:
            tensors.add(key, _checked_tensor(key, value, source.name))
    ours = metadata.pop(OURS, None)
    if isinstance(ours, str):
        ours = ours.encode()
    return SafeTensorsHeader(tensors, metadata, ours, 8 + length)


def _members(text: LongText, file: str, budget: int) -> Iterator[tuple[str, Any]]:
    """Yield keys and values: all together of a short text, else one by one."""
    quick = quick_value(text, budget) if isinstance(text, bytes) else None
    if isinstance(quick, dict):
        yield from quick.items()
        return
    reader = JsonReader.of(text, file, budget)
    before = reader.spent
    for key in reader.members():
        value = _metadata(reader) if key == METADATA else reader.value()
        yield key, value
        if key != METADATA:
            # Only an entry of it is kept, which every file may have.
            reader.settle(before)
        before = reader.spent
    if reader.next():
        raise reader.error("data after the end")


def _metadata(reader: JsonReader) -> Any:
    """Read the metadata, in which our text is most of a large header."""
    if reader.next() != b"{":
        return reader.value()
    return {
        key: reader.long_text() if key == OURS else reader.value()
        for key in reader.members()
    }


def _checked_metadata(value: object, file: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(
        isinstance(text, str | LongText)
        for text in value.values()  # pyright: ignore[reportUnknownVariableType]  # any map
    ):
        raise RecordFormatError(file, "metadata that is not a map of strings")
    return value  # pyright: ignore[reportUnknownVariableType]  # checked above


def _error_of_dtype(name: object) -> type[RecordFormatError]:
    is_name = isinstance(name, str) and re.fullmatch("[A-Z][A-Z0-9_]*", name)
    return ForeignFileError if is_name else RecordFormatError


def _checked_tensor(
    name: str, value: object, file: str
) -> tuple[torch.dtype, tuple[int, ...], int]:
    subject = f"{name!r:.80}"
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:  # pyright: ignore[reportUnknownArgumentType]  # any map
        raise RecordFormatError(file, f"{subject} has the wrong keys for a tensor")
    fields: dict[str, Any] = value
    dtype = DTYPES.get(fields["dtype"]) if isinstance(fields["dtype"], str) else None
    if dtype is None:
        # A newer version of the library may write dtypes that are unknown here.
        raise _error_of_dtype(fields["dtype"])(
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
    size = bytes_of_type(dtype, fields["shape"])
    if place[1] - place[0] != size:
        raise RecordFormatError(
            file,
            f"{subject} has {quantity(place[1] - place[0], 'byte')}",
            f"{size:,}, by its shape",
        )
    return dtype, tuple(fields["shape"]), place[0]


def check_spans(tensors: HeaderTensors, source: Source, data: int) -> None:
    """Raise unless the tensors are contiguous and fill the file."""
    at = 0
    for name in tensors.in_order():
        number = tensors.numbers[name]
        start = tensors.starts[number]
        if start != at:
            problem = (
                "overlaps the one before it"
                if start < at
                else "leaves a hole before it"
            )
            raise RecordFormatError(source.name, f"{name!r:.80} {problem}")
        at = start + bytes_of_type(*tensors.types[number])
    if data + at != source.size:
        raise wrong_size(source, data + at)


def bytes_of_type(dtype: torch.dtype, shape: Sequence[int]) -> int:
    """Return the number of bytes of the values."""
    return math.prod(shape) * dtype.itemsize
