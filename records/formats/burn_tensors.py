"""The tensors listed in a file of Burn, as a record."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...config.short_text import quantity
from ..entries.entries import Entries, set_source
from ..entries.entry import Entry, ParamId, Payload
from ..errors import ForeignFileError, RecordFormatError
from ..header.columns import is_shape
from ..header.header import record_of_header
from ..io.lazy_payload import LazyPayload
from ..io.source import Source
from ..stored_contents import Decoded
from ..tensors.dtypes import NAME_OF
from ..writing.payload import Row

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "Flex32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "Bool": torch.bool,
}
"""Burn's names of dtypes; the storage of booleans is stated separately."""

QUANTIZED = "QFloat"
WIDE_BOOL = "Bool in 32 bits"

MOST_NAME_BYTES = 4096


@dataclass(slots=True)
class BurnTensor:
    """One tensor in a file of Burn."""

    name: str
    dtype: str
    """A key of `DTYPES`, or `WIDE_BOOL`."""
    shape: list[int]
    start: int
    """Where its bytes begin in the file."""
    end: int
    id: ParamId | None = None

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype that it is read as."""
        return torch.bool if self.dtype == WIDE_BOOL else DTYPES[self.dtype]


def checked_tensor(tensor: BurnTensor, file: str) -> BurnTensor:
    """Return ``tensor`` if torch can hold it, and its number of bytes is right."""
    subject = f"{tensor.name!r:.80}"
    if tensor.dtype == QUANTIZED:
        raise ForeignFileError(
            file,
            f"{subject} is quantized by Burn, in a scheme that torch does not have",
            "numbers",
            "Save the module in Burn before it is quantized, or dequantize it there.",
        )
    if tensor.dtype != WIDE_BOOL and tensor.dtype not in DTYPES:
        raise ForeignFileError(
            file,
            f"{subject} has the dtype {tensor.dtype!r:.40}",
            f"one of {', '.join(DTYPES)}",
        )
    if not is_shape(tensor.shape):
        raise RecordFormatError(file, f"{subject} has the shape {tensor.shape!r:.80}")
    width = 4 if tensor.dtype == WIDE_BOOL else tensor.torch_dtype.itemsize
    size = math.prod(tensor.shape) * width
    if tensor.end - tensor.start != size:
        raise RecordFormatError(
            file,
            f"{subject} has {quantity(tensor.end - tensor.start, 'byte')}",
            f"{size:,}, by its shape",
        )
    return tensor


def record_of_tensors(
    tensors: Sequence[BurnTensor],
    source: Source,
    *,
    metadata: object,
    tree: object = None,
    type_name: str = "",
) -> Entries:
    """Return the record of checked ``tensors``; those on the same bytes are tied.

    Raises `RecordFormatError` for partly overlapping tensors.
    """
    groups = _grouped(tensors, source.name)
    header = {
        "kind": "module",
        "type": type_name,
        "metadata": metadata,
        "tree": tree,
        "tensors": _table_of(groups),
    }
    record = record_of_header(header, source.name)
    for entry, group in zip(record.entries(), groups, strict=True):
        entry.source = _payload(entry, group[0], source)
    set_source(record, source, has_sums=False)
    return record


def _table_of(groups: list[list[BurnTensor]]) -> dict[str, Any]:
    """Return the columns of the table of entries, one for each of ``groups``."""
    heads = [group[0] for group in groups]
    return {
        "path": [head.name for head in heads],
        "kind": ["tensor"] * len(heads),
        "id": _first_ids(heads),
        "dtype": [NAME_OF[head.torch_dtype] for head in heads],
        "shape": [head.shape for head in heads],
        "requires_grad": [False] * len(heads),
        "ties": [
            [i, [tensor.name for tensor in group[1:]]]
            for i, group in enumerate(groups)
            if len(group) > 1
        ],
        "memory_format": [],
    }


def _payload(entry: Entry, tensor: BurnTensor, source: Source) -> Payload:
    """Return what reads the bytes of ``tensor`` on access."""
    start, size = tensor.start, tensor.end - tensor.start
    if tensor.dtype != WIDE_BOOL:
        return LazyPayload(source, entry.path, entry.dtype, entry.shape, start, None)
    row = Row(entry.path, entry.dtype, entry.shape, "rows", entry.nbytes)
    return Decoded(source, row, _NarrowBooleans(source, start, size), None)


def _grouped(tensors: Sequence[BurnTensor], file: str) -> list[list[BurnTensor]]:
    """Return the tensors in file order, those on the same bytes together."""
    groups: list[list[BurnTensor]] = []
    order = sorted(tensors, key=lambda t: (t.start, t.end, t.id is None))
    end = 0
    for tensor in order:
        if tensor.start >= end or tensor.start == tensor.end:
            groups.append([tensor])
            end = max(end, tensor.end)
            continue
        head = groups[-1][0]
        if (tensor.start, tensor.end, tensor.dtype, tensor.shape) != (
            head.start,
            head.end,
            head.dtype,
            head.shape,
        ):
            raise RecordFormatError(
                file, f"{tensor.name!r:.80} overlaps {head.name!r:.80}"
            )
        groups[-1].append(tensor)
    return groups


def _first_ids(heads: Sequence[BurnTensor]) -> list[ParamId | None]:
    """Return the ID of each; for equal IDs, as clones have, only the first."""
    met_ids: set[ParamId] = set()
    ids: list[ParamId | None] = []
    for head in heads:
        ids.append(None if head.id in met_ids else head.id)
        if head.id is not None:
            met_ids.add(head.id)
    return ids


class _NarrowBooleans:
    """Reads booleans of 32 bits as those of torch, of 8."""

    def __init__(self, source: Source, start: int, size: int) -> None:
        self._source, self._start, self._size = source, start, size

    def __call__(self, row: Row) -> memoryview:
        """Return the bytes 0 and 1; ValueError for other numbers."""
        data = self._source.view(self._start, self._size)
        if not self._size:
            return data
        wide = torch.frombuffer(data, dtype=torch.uint8).view(-1, 4)
        if int(wide[:, 0].max()) > 1 or int(wide[:, 1:].max()) > 0:
            raise ValueError("a number that is not a boolean")
        return memoryview(wide[:, 0].contiguous().numpy().data)
