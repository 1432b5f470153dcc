"""The bytes of entries, one chunk at a time: converted, checked, hashed, written."""

import ctypes
import math
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ClassVar, Literal, NamedTuple, Protocol, TypeAlias

import torch

from ...config.process.interrupts import raise_of_signal
from ..entries.entry import Entry, Kind
from ..errors import RecordError
from ..io.helpers import is_only_thread
from ..precision import RecordPrecision
from ..tensors.conversion import convert
from ..tensors.flat_pieces import row_major_pieces
from ..tensors.grad_mode import ordinary_tensors
from ..tensors.memory import ORDINARY, unreadable, values_of
from .device_copies import in_main_memory
from .lazy_snapshot import HeldTensor

CHUNK = 1 << 20
"""Bytes of output that are converted in one call: they fit a core's own cache."""


Layout: TypeAlias = Literal["rows", "planes"]
"""How the bytes of a payload are ordered: values one after the other in row-major
order, little-endian; or in planes (``records/tensors/byte_planes.py``)."""


class Row(NamedTuple):
    """The facts about a payload before its first byte."""

    path: str
    dtype: torch.dtype
    """The dtype in which it is stored: at the requested precision."""
    shape: tuple[int, ...]
    layout: Layout
    size: int
    """In bytes; the same in every layout."""


class Traits(Protocol):
    """The properties of a format, which `Format` explains to authors."""

    name: ClassVar[str]
    """Its name in errors."""
    omits: ClassVar[frozenset[Kind]]
    """Kinds of entries that its files omit."""
    planed: ClassVar[frozenset[torch.dtype]]
    """Dtypes whose payloads are stored in planes."""
    has_sums: ClassVar[bool]
    """Whether its files have a checksum for each payload."""


class Scratch:
    """Memory for conversions and copies, reused.

    Its content is valid until ``n_buffers`` more were requested.
    """

    def __init__(self, n_buffers: int = 1) -> None:
        self._buffers: list[torch.Tensor | None] = [None] * n_buffers
        self._number = 0

    @property
    def keeps_one(self) -> bool:
        """Whether its content is written before more is requested."""
        return len(self._buffers) == 1

    def take(self, dtype: torch.dtype, count: int) -> torch.Tensor:
        """Return memory for ``count`` values, reusing the oldest buffer."""
        self._number = (self._number + 1) % len(self._buffers)
        size = count * dtype.itemsize
        buffer = self._buffers[self._number]
        # Memory allocated in inference mode could not be written to outside of it.
        with ordinary_tensors():
            if buffer is None or len(buffer) < size:
                buffer = torch.empty(size, dtype=torch.uint8, device="cpu")
                self._buffers[self._number] = buffer
            return buffer[:size].view(dtype)


def pieces(
    entry: Entry,
    dtype: torch.dtype,
    precision: RecordPrecision,
    *,
    at_once: bool,
    is_alone: bool,
    scratch: Scratch | None = None,
) -> Iterator[torch.Tensor]:
    """Yield the entry's values at ``dtype`` as flat tensors of about `CHUNK` bytes.

    A piece is valid until the next one is requested, or as long as ``scratch`` keeps
    it, and no other code changes it. ``is_alone`` means that only the library's code
    runs while a piece is made, and ``at_once`` that only it runs before the next one is
    requested either, so that a piece may be the entry's own memory if no other thread
    could write to it.
    """
    scratch = scratch or Scratch()
    source = entry.reading_source()
    if isinstance(source, HeldTensor):
        yield from source.pieces(scratch.take, CHUNK)
        return
    if is_piecewise(entry):
        # Assembled from files, or decoded, and possibly larger than memory. A block was
        # read for this alone, and is valid as long as a piece that nothing follows.
        is_valid = at_once and scratch.keeps_one and dtype is not torch.bool
        for block in entry.blocks():
            if is_valid and block.dtype is dtype and block.is_contiguous():
                yield block
                continue
            out = scratch.take(dtype, block.numel())
            _convert(block, out, entry, precision)
            yield out
        return
    tensor = stored_tensor(entry)
    if not tensor.numel():
        return
    limit = CHUNK // dtype.itemsize
    # Values that are stored unchanged need no conversion, and possibly no copy.
    if tensor.dtype is dtype and row_of(tensor) and dtype is not torch.bool:
        values = tensor.detach().view(-1)
        # Most tensors are one piece, and split takes longer than everything else about
        # them.
        for piece in torch.split(values, limit) if len(values) > limit else (values,):
            # Checked for each piece: a thread may have started while the last was
            # written.
            if at_once and is_undisturbed() and is_private(tensor):
                yield piece
            else:
                out = scratch.take(dtype, piece.numel())
                # Only the bytes are copied: copy_ would call torch's dispatcher about
                # both.
                ctypes.memmove(out.data_ptr(), piece.data_ptr(), piece.nbytes)
                yield out
        return
    parts = row_major_pieces(tensor.detach(), limit)
    for piece in in_main_memory(parts, tensor.device):
        out = scratch.take(dtype, piece.numel())
        convert_piece(piece, out, entry, tensor, precision, is_alone=is_alone)
        yield out


def is_piecewise(entry: Entry) -> bool:
    """Return whether it is stored, and better read a few rows at a time."""
    return getattr(entry.reading_source(), "is_piecewise", False) and not entry.is_live


def convert_piece(
    piece: torch.Tensor,
    out: torch.Tensor,
    entry: Entry,
    tensor: torch.Tensor,
    precision: RecordPrecision,
    *,
    is_alone: bool,
) -> None:
    """Write a piece of the entry's ``tensor`` to ``out`` as in the file."""
    values = piece.reshape(-1)
    # The range is checked before the conversion, so both must see one state of the
    # values, whatever other code writes meanwhile. A tensor from a device is a copy
    # already, and booleans are read only once.
    if (
        out.dtype is not torch.bool
        and piece.device == tensor.device
        and not (is_alone and is_undisturbed() and is_private(tensor))
    ):
        values = values.clone()
    _convert(values, out, entry, precision)


def _convert(
    values: torch.Tensor, out: torch.Tensor, entry: Entry, precision: RecordPrecision
) -> None:
    """Write unchanging values of the entry to ``out`` as in the file."""
    if out.dtype is torch.bool:
        # Views may have bytes other than 0 and 1, which no reader accepts.
        torch.ne(values.view(torch.uint8), 0, out=out)
        return
    n_zeroed = convert(values, out, entry.path, precision.rounding(entry))
    precision.count_zeroed(entry.path, n_zeroed)


def resized(entry: Entry, tensor: torch.Tensor) -> RecordError:
    """Return the error for a tensor whose shape differs from its entry's."""
    return RecordError(
        f"{entry.path}: the tensor's shape changed to {tuple(tensor.shape)} "
        f"after its record was created with {entry.shape}; create the record "
        "again"
    )


def stored_tensor(entry: Entry) -> torch.Tensor:
    """Return the entry's tensor as strided memory; RecordError if it has none.

    Values read from a file are not kept, so that a copy streams.
    """
    return values_of(entry.read(), entry.path)


def byte_view(tensor: torch.Tensor) -> memoryview:
    """Return the bytes of a contiguous tensor in CPU memory, shared with it."""
    count = tensor.numel() * tensor.element_size()
    if not count:
        return memoryview(b"")
    return memoryview((ctypes.c_char * count).from_address(tensor.data_ptr())).cast("B")


def stored_size(entry: Entry, dtype: torch.dtype) -> int:
    """Return the number of bytes of the entry when it is stored as ``dtype``."""
    return math.prod(entry.shape) * dtype.itemsize


def row_of(tensor: torch.Tensor) -> int:
    """Return the address of contiguous values in main memory; 0 if that is unsure.

    A save calls this for every tensor, so that all of it is in one function.
    """
    try:
        size, room = tensor.nbytes, tensor.untyped_storage().nbytes()
        # A tensor that fills its storage starts at its beginning, which saves a check.
        if room != size and tensor.storage_offset() * tensor.itemsize + size > room:
            return 0
        is_row = tensor.is_contiguous() and tensor.is_cpu and not tensor.is_neg()
        if not is_row or (tensor.dtype.is_complex and tensor.is_conj()):
            return 0
        return tensor.data_ptr()
    except RuntimeError as error:
        raise_of_signal(error)
        # Lazy and nested tensors have no storage; `stored_tensor` reports it.
        return 0


@contextmanager
def saved_from_snapshot() -> Generator[None]:
    """Declare that no other code knows the memory of what is saved in the block."""
    before = _is_snapshot.set(True)
    try:
        yield
    finally:
        _is_snapshot.reset(before)


def is_snapshot() -> bool:
    """Return whether the saved memory is not shared, as that block declares."""
    return _is_snapshot.get()


_is_snapshot = ContextVar("_is_snapshot", default=False)


def is_plain(source: object) -> bool:
    """Return whether the source is a tensor that any thread can read.

    That holds for those in main memory without a subclass or a transformation of torch.
    """
    return type(source) in ORDINARY and source.is_cpu and unreadable(source) is None  # type: ignore[attr-defined,arg-type]  # a tensor


def is_undisturbed() -> bool:
    """Return whether values do not change while the library's own code runs.

    Other code could change them in other threads, under a tracer, or with a GPU that
    may be copying; a snapshot is not known to other code.
    """
    return is_snapshot() or (
        is_only_thread() and sys.gettrace() is None and not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # of torch
    )


def is_private(tensor: torch.Tensor) -> bool:
    """Return whether torch owns the tensor's memory, not an array or a process."""
    # Torch refuses to resize memory that it does not own: numpy arrays, maps of files.
    storage = tensor.untyped_storage()
    return storage.resizable() and not storage.is_shared()
