"""Contents: a record to be written, as formats see it."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import xxhash

from ...config.process.interrupts import has_handlers
from ...config.process.late_property import late_property
from ..entries.entries import Entries, with_parts
from ..errors import RecordError
from ..header.header import Plain, header_of
from ..io.helpers import may_have_help
from ..io.parallel_map import n_ahead, parallel_map
from ..io.progress import Progress, progress_call, through_generators
from ..io.sink import Buffer, FileSink, Sink, is_written_by_system
from ..precision import RecordPrecision
from ..tensors.byte_planes import BLOCK, blocks, planes_of
from ..tensors.memory import ORDINARY
from .batches import BatchWriter
from .lazy_snapshot import HeldTensor
from .payload import (
    Layout,
    Row,
    Scratch,
    Traits,
    byte_view,
    is_plain,
    is_snapshot,
    pieces,
    resized,
    row_of,
    stored_size,
)
from .pipeline import Pipeline
from .sums import Sums


class Contents:
    """A record to be written to a file: a header, and a payload for each row of it.

    Payloads are converted and hashed. Each must be read to its end once, and its
    checksum be stored, or writing fails. Values may change while they are saved, if
    other threads run: the chunks that a payload yields do not change, and its checksum
    covers those chunks.
    """

    def __init__(
        self,
        record: Entries,
        form: Traits,
        precision: RecordPrecision,
        progress: Progress | None,
    ) -> None:
        entries = record.entries()
        if form.omits:
            entries = [entry for entry in entries if entry.kind not in form.omits]
            record = with_parts(record, entries=entries)
        self.dtypes = precision.stored_dtypes(entries)
        """The dtype of each payload, as it is stored."""
        self.sizes = list(map(stored_size, entries, self.dtypes))
        """The size of each payload, in bytes."""
        self._record, self._entries, self._form = record, entries, form
        call = progress_call(progress)
        self._progress = None if call is None else through_generators(call)
        self._precision = precision
        self._sums = Sums(entries)
        self._n_told, self._n_done, self._n_bytes = 0, 0, sum(self.sizes)

    @property
    def header(self) -> Plain:
        """Everything but the payloads, as plain data: a new dict that may be extended.

        Its keys are ``kind``, ``type``, ``metadata``, ``tree`` and ``tensors``, a table
        of columns with a value for each row (docs/format.md); `Format.decode` returns
        it. Raises `RecordError` for a record that no file could hold.
        """
        return header_of(self._record, self.dtypes)

    @property
    def rows(self) -> list[Row]:
        """A row for each payload, in the order of the header's columns."""
        return [self._row(i) for i in range(len(self._entries))]

    def payload(self, number: int) -> "RowPayload":
        """Return the payload of row ``number``."""
        return RowPayload(self, number)

    def payloads(self) -> Iterator["RowPayload"]:
        """Return every payload, in the order of the rows."""
        return map(self.payload, range(len(self._entries)))

    def chunks(self) -> Iterator[tuple[int, memoryview]]:
        """Yield row number and chunk of all payloads.

        Chunks are those of `payloads`, each valid until the next. A payload without
        values has one chunk without bytes.
        """
        # In one thread: planes need many short calls of torch, for which threads wait
        # on each other, and two were slower than one for some dtypes.
        memory = Scratch()
        for i in range(len(self._entries)):
            for chunk in self._summed(i, memory):
                yield i, chunk

    def write_payloads(
        self,
        sink: Sink,
        frames: Sequence[bytes] | None = None,
        *,
        order: Sequence[int] | None = None,
        parts: Mapping[int, Sequence[bytes]] = {},  # never changed
        part_size: int = sys.maxsize,
    ) -> None:
        """Write every payload unchanged, in ``order``, its frame before it.

        For formats that do not encode: many small payloads share system calls.
        ``frames`` are by row. ``parts`` has, by row, the frames before each further
        ``part_size`` bytes of a payload.
        """
        pipeline = Pipeline(sink, has_helper=self._pays_help(sink))
        # A stream is code of the caller, which may run between the hash of a payload
        # and its write, like a progress call; a file descriptor is not.
        at_once = (
            self._progress is None
            and isinstance(sink, FileSink)
            and not self._has_handlers
        )
        # With a helper thread, such code runs in the caller's thread while values are
        # read.
        is_alone = at_once or not (pipeline.has_helper or self._has_handlers)
        writer = BatchWriter(
            pipeline, self._precision, self._sums, at_once=at_once, is_alone=is_alone
        )
        heads = frames or [b""] * len(self._entries)
        entries, dtypes, sizes = self._entries, self.dtypes, self.sizes

        def write_all() -> None:
            for i in range(len(entries)) if order is None else order:
                entry, dtype, size = entries[i], dtypes[i], sizes[i]
                if i in parts:
                    writer.add_parts(
                        i, entry, dtype, size, (heads[i], *parts[i]), part_size
                    )
                else:
                    writer.add(i, entry, dtype, size, heads[i])
                if self._progress is not None:
                    pipeline.call_in_turn(partial(self._advance, i))
            writer.flush()

        pipeline.run(write_all)

    def _pays_help(self, sink: Sink) -> bool:
        """Return whether a second thread makes a save into ``sink`` faster."""
        if not (may_have_help() and is_written_by_system(sink)):
            return False
        # It has to take longer than the start of a thread.
        if self._n_bytes < _FEW:
            return False
        # If only the caller's thread may read the values, on a GPU for instance, the
        # helper waits.
        n_plain = 0
        for entry in self._entries:
            source: Any = entry.reading_source()
            n_plain += type(source) in ORDINARY and source.is_cpu
        return n_plain > 0.9 * len(self._entries)

    @property
    def sums(self) -> bytes:
        """The xxh3-64 checksums of all payloads by row, 8 bytes each, once read."""
        self._n_told = len(self._entries)
        return self._sums.all()

    def hash_ahead(self) -> None:
        """Read every payload without writing it, so that `sums` is known beforehand.

        For formats that store checksums first, where nothing can be overwritten later.
        A payload that differs when it is read again is a `RecordError`, before its last
        chunk is yielded.
        """
        progress, self._progress = self._progress, None
        self.expect_readings()
        if any(dtype in self._form.planed for dtype in self.dtypes):
            for _ in self.chunks():
                pass  # the last chunk of each completes its checksum
        else:
            rows = range(len(self._entries))
            in_place = [i for i in rows if self._lies_as_it_is_stored(i)]
            # Some are a hundred times as long as others, and no item takes memory.
            ahead = len(in_place) if n_ahead() else 0
            digests = parallel_map(self._digest_in_place, in_place, ahead=ahead)
            self._sums.add_all(zip(in_place, digests, strict=True))
            apart = set(in_place)
            self.write_payloads(_Nowhere(), order=[i for i in rows if i not in apart])
        self._progress = progress
        self._sums.expect()

    def expect_readings(self) -> None:
        """Announce that payloads may be read again after the next reading."""
        for entry in self._entries:
            source = entry.reading_source()
            if isinstance(source, HeldTensor):
                source.read_again()

    def check_complete(self) -> None:
        """Raise `RecordError` for payloads that the format did not write."""
        path = self._sums.unread()
        if path is not None:
            raise RecordError(
                f"{path}: the format {self._form.name!r} has not read this payload to "
                "its end, so the file would lack values"
            )
        if self._form.has_sums and self._n_told < len(self._entries):
            raise RecordError(
                f"the format {self._form.name!r} has stored no checksums: store "
                "contents.sums, or payload.sum of each payload, or set has_sums = "
                "False in its class"
            )

    def _lies_as_it_is_stored(self, i: int) -> bool:
        """Return whether any thread may hash a long payload in place."""
        entry, dtype = self._entries[i], self.dtypes[i]
        tensor: Any = entry.reading_source()
        return (
            self.sizes[i] >= _LONG
            and is_plain(tensor)
            and tensor.dtype is dtype
            # Views of booleans may have other bytes than files.
            and dtype is not torch.bool
            and row_of(tensor) != 0
        )

    def _digest_in_place(self, i: int) -> bytes:
        """Return the checksum of such a payload, which needs no copy."""
        tensor: Any = self._entries[i].reading_source()
        if tensor.shape != self._entries[i].shape:
            raise resized(self._entries[i], tensor)
        total, data = xxhash.xxh3_64(), byte_view(tensor.detach())
        for start in range(0, len(data), _AT_ONCE):
            total.update(data[start : start + _AT_ONCE])
        return total.digest()

    def _row(self, i: int) -> Row:
        entry, dtype = self._entries[i], self.dtypes[i]
        layout: Layout = "planes" if dtype in self._form.planed else "rows"
        return Row(entry.path, dtype, entry.shape, layout, self.sizes[i])

    def _read(self, i: int) -> Iterator[memoryview]:
        return filter(len, self._summed(i, Scratch()))

    def _summed(self, i: int, memory: Scratch) -> Iterator[memoryview]:
        """Yield a payload's chunks; its checksum is recorded before the last one."""
        n_left, total = self.sizes[i], xxhash.xxh3_64()
        for chunk in self._chunks(i, memory):
            total.update(chunk)
            n_left -= len(chunk)
            if not n_left:
                self._sums.add(i, total.digest())
            yield chunk
        if self._progress is not None:
            self._advance(i)

    def _chunks(self, i: int, memory: Scratch) -> Iterator[memoryview]:
        """Yield a payload's values as in the file; planes are in ``memory``.

        No other code can change a chunk before the next one is requested.
        """
        entry, dtype, size = self._entries[i], self.dtypes[i], self.sizes[i]
        if not size:
            yield memoryview(b"")
            return
        is_planed = dtype in self._form.planed
        # Planes are made before any other code runs.
        is_alone = not self._has_handlers
        values = pieces(
            entry,
            dtype,
            self._precision,
            at_once=is_planed and is_alone,
            is_alone=is_alone,
        )
        if not is_planed:
            yield from map(byte_view, values)
            return
        # A payload that is not longer than a block is one piece.
        is_short = size <= BLOCK * dtype.itemsize
        for block in values if is_short else blocks(values):
            planes = memory.take(torch.uint8, block.nbytes)
            planes_of(dtype).split(block, planes)
            yield byte_view(planes)

    @late_property
    def _has_handlers(self) -> bool:
        """Whether signal handlers may change values while they are saved."""
        if is_snapshot():
            return False
        # Checked once, since only a handler could install another one meanwhile.
        # Copying a little takes no longer than checking about sixty signals.
        return self._n_bytes <= _LITTLE or has_handlers()

    def _sum_of(self, i: int) -> bytes:
        self._n_told += 1
        return self._sums.of(i)

    def _advance(self, i: int) -> None:
        self._n_done += self.sizes[i]
        if self._progress is not None:
            self._progress(self._n_done, self._n_bytes, self._entries[i].path)


_LITTLE = 1 << 20
"""Payloads up to this many bytes are always copied."""

_FEW = 8 << 20
"""Fewer bytes are hashed and written before a thread has started."""


class RowPayload:
    """The bytes of one row, in chunks; iterate over it once.

    A chunk is a memoryview of at most 1 MiB, of whole values, and valid until the next
    one is requested. A payload in planes consists of whole blocks.
    """

    __slots__ = ("_contents", "_number", "row")

    def __init__(self, contents: Contents, number: int) -> None:
        self._contents, self._number = contents, number
        self.row = contents._row(number)  # pyright: ignore[reportPrivateUsage]  # a part of it

    def __iter__(self) -> Iterator[memoryview]:
        return self._contents._read(self._number)  # pyright: ignore[reportPrivateUsage]  # a part of it

    @property
    def sum(self) -> bytes:
        """The xxh3-64 checksum of its bytes, 8 of them, once it was read to its end."""
        return self._contents._sum_of(self._number)  # pyright: ignore[reportPrivateUsage]  # a part of it


_LONG = 1 << 16
"""Bytes that take longer to hash than to pass to another thread."""

_AT_ONCE = 8 << 20
"""Bytes that are hashed before interrupts are checked."""


class _Nowhere:
    """A sink for bytes that are only hashed."""

    def write(self, buffer: Buffer) -> None:
        """Do nothing."""

    def writev(self, buffers: Sequence[Buffer]) -> None:
        """Do nothing."""
