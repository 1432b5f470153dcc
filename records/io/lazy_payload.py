"""The payload of an entry in a file, read and verified on access."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import xxhash

from ..errors import RecordChecksumError, RecordError, RecordFormatError
from ..tensors.byte_planes import BLOCK, planes_of
from ..tensors.flat_pieces import PIECE
from .parallel_map import parallel_map
from .source import FileSource, Maps, RemoteLike, Source, fresh_memory, is_remote

MUCH = 4 << 20
"""Bytes of a tensor from which on its blocks are read one by one, where possible."""


@dataclass(slots=True, eq=False)
class SumTable:
    """The checksums of all payloads of a file, in the order of their locations.

    A single object, searched by location: a checksum in each payload of a record of
    many would take a quarter more memory.
    """

    starts: Sequence[int]
    """The start of each payload, in order, all of them different."""
    first: int
    """The location in the source from which ``starts`` are counted."""
    sums: bytes
    """8 bytes of each, as they were when the file was opened."""

    def sum_at(self, place: int) -> bytes:
        """Return the checksum of the payload that starts at ``place`` of the source."""
        at = 8 * bisect_left(self.starts, place - self.first)
        return self.sums[at : at + 8]


@dataclass(slots=True, eq=False)
class LazyPayload:
    """Bytes of one entry: their location, type and checksum.

    A record has one for each of its entries, so that its memory counts.
    """

    source: Source
    path: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    place: int | tuple[tuple[int, int], ...]
    """Location of all of them; for a payload in parts, offset and length of each."""
    sum: bytes | SumTable | None
    """The xxh3-64 checksum, or an object that has it; None for formats without."""
    is_planes: bool = False

    is_live: ClassVar[bool] = False
    """Every load reads this for every entry; a missing attribute is slow to find."""

    @property
    def is_piecewise(self) -> bool:
        """Whether a save reads blocks of it: `load` allocates memory for all of it."""
        size = math.prod(self.shape) * self.dtype.itemsize
        if size <= MUCH or is_remote(self.source):
            return False
        is_mapped = isinstance(self.source, FileSource) and self.source.may_map
        # Parts are separated, so that no map has all of them.
        return self.is_planes or not is_mapped or len(self.pieces) > 1

    @property
    def pieces(self) -> tuple[tuple[int, int], ...]:
        """Offset and length of each part; nearly always one."""
        if isinstance(self.place, int):
            return ((self.place, math.prod(self.shape) * self.dtype.itemsize),)
        return self.place

    def load(self, maps: Maps | None = None) -> torch.Tensor:
        """Return the tensor; its memory is its own or a part of a private map."""
        source = self.source if maps is None else maps.of(self.source)
        if maps is None:
            self._announce_parts(source)
        try:
            if self.is_planes:
                return self._joined(source)
            data = self._bytes(source)
            if source.verify and self.sum:
                ahead = None if maps is None else maps.sums_ahead
                digest = (
                    xxhash.xxh3_64_digest(data)
                    if ahead is None
                    else ahead.digest(self, data)
                )
                self._compare(digest, source)
            return tensor_of(data, self)
        except RecordChecksumError as error:
            raise self._error_of(error, source) from error

    def _announce_parts(self, source: Source) -> None:
        """Announce that all of it will be read, if that takes several reads."""
        if is_remote(source) and (self.is_planes or len(self.pieces) > 1):
            source.expect(self.pieces)

    def blocks(self) -> Iterator[torch.Tensor]:
        """Yield the values as flat tensors of at most 1 MiB, each valid until the next.

        They are compared with their checksum after the last one.
        """
        source = self.source
        if is_remote(source):
            source.expect(self.pieces, in_blocks=True)
        total = xxhash.xxh3_64() if source.verify and self.sum else None
        out = torch.empty(BLOCK if self.is_planes else 0, dtype=self.dtype)
        try:
            for data in self._data_of_blocks(source):
                if total is not None:
                    total.update(data)
                yield self._values(data, out)
            if total is not None:
                self._compare(total.digest(), source)
        except RecordChecksumError as error:
            raise self._error_of(error, source) from error

    def run(
        self, start: int, count: int, total: "SumInOrder"
    ) -> Iterator[torch.Tensor]:
        """Yield so many values from number ``start`` on, as `blocks` does.

        The bytes are added to ``total``, and compared once it has all; those of planes
        in whole blocks, which two runs may both read.
        """
        try:
            yield from self._run(start, count, total)
        except RecordChecksumError as error:
            raise self._error_of(error, self.source) from error

    def _run(
        self, start: int, count: int, total: "SumInOrder"
    ) -> Iterator[torch.Tensor]:
        size, at = self.dtype.itemsize, 0
        begin, end = start * size, (start + count) * size
        step = self._step
        out = torch.empty(BLOCK if self.is_planes else 0, dtype=self.dtype)
        for offset, length in self.pieces:
            run_start, run_end = max(begin - at, 0), min(end - at, length)
            run_start -= run_start % step if self.is_planes else 0
            for place in range(run_start, run_end, step):
                stop = place + step if self.is_planes else min(place + step, run_end)
                data = self.source.view(offset + place, min(stop, length) - place)
                total.add(at + place, data)
                values = self._values(data, out)
                low, high = (max(x - at - place, 0) // size for x in (begin, end))
                yield values[low:high]
            at += length
        if total.n_bytes == at and self.source.verify and self.sum:
            self._compare(total.digest(), self.source)

    @property
    def _step(self) -> int:
        """Number of bytes per read."""
        return BLOCK * self.dtype.itemsize if self.is_planes else PIECE

    def _data_of_blocks(self, source: Source) -> Iterator[memoryview]:
        """Yield the stored bytes: whole blocks of planes, or else whole values."""
        step = self._step
        for offset, count in self.pieces:
            for at in range(offset, offset + count, step):
                yield source.view(at, min(step, offset + count - at))

    def _values(self, data: memoryview, out: torch.Tensor) -> torch.Tensor:
        if not self.is_planes:
            return tensor_of(data, self, is_flat=True)
        values = out[: len(data) // self.dtype.itemsize]
        planes_of(self.dtype).join(torch.frombuffer(data, dtype=torch.uint8), values)
        return values

    def _error_of(self, damage: RecordChecksumError, source: Source) -> RecordError:
        if is_remote(source):
            # Bytes other than those written may belong to another object.
            source.confirm()
        # Compressed content verifies its frames, but not whose they are.
        if source.verify:
            return RecordChecksumError(source.name, self.path)
        return RecordFormatError(
            source.name,
            f"compressed bytes of {self.path!r:.80} that are damaged",
        )

    @property
    def stored_sum(self) -> bytes:
        """The checksum in the file; b"" in formats without them."""
        if not isinstance(self.sum, SumTable):
            return self.sum or b""
        place = self.place if isinstance(self.place, int) else self.place[0][0]
        return self.sum.sum_at(place)

    def _compare(self, digest: bytes, source: Source) -> None:
        if digest != self.stored_sum:
            raise RecordChecksumError(source.name, self.path)

    def _bytes(self, source: Source) -> memoryview:
        place = self.place
        if isinstance(place, int):
            # This runs for thousands of payloads at every load.
            return source.view(place, math.prod(self.shape) * self.dtype.itemsize)
        if len(place) == 1:
            return source.view(*place[0])
        data, n_done = fresh_memory(sum(n for _, n in place)), 0
        for offset, count in place:
            # A part is 1 GiB, and would be in memory twice.
            for at in range(offset, offset + count, PIECE):
                piece = source.read(at, min(PIECE, offset + count - at))
                data[n_done : n_done + len(piece)] = piece
                n_done += len(piece)
        return data

    def _joined(self, source: Source) -> torch.Tensor:
        """Return the values of planes, block by block: none is held twice."""
        pieces = self.pieces
        size = sum(count for _, count in pieces)
        if not size:
            return torch.empty(self.shape, dtype=self.dtype)
        memory, step = fresh_memory(size), BLOCK * self.dtype.itemsize
        total = xxhash.xxh3_64() if source.verify and self.sum else None

        def joined(block: tuple[int, int, int]) -> memoryview:
            at, count, place = block
            data = source.view(at, count)
            # Created in the thread that writes them, whose torch mode they may have.
            values = torch.frombuffer(memory[place : place + count], dtype=self.dtype)
            planes_of(self.dtype).join(
                torch.frombuffer(data, dtype=torch.uint8), values
            )
            return data

        # For a few blocks helpers are slower than one thread.
        ahead = None if size > _FEW * step else 0
        for data in parallel_map(joined, _blocks(pieces, step), ahead=ahead):
            if total is not None:
                total.update(data)
        if total is not None:
            self._compare(total.digest(), source)
        return torch.frombuffer(memory, dtype=self.dtype).view(self.shape)


class MappedPayloads:
    """Loads the payloads of a mapped file, each as `LazyPayload.load` does.

    This runs for thousands at every load: common facts are looked up once, and the
    checksum of each is searched after that of the previous one.
    """

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._source: Source | None = None
        self._content, self._size, self._address = memoryview(b""), 0, 0
        self._table: SumTable | None = None
        self._sums, self._number = b"", 0

    def load(self, payload: LazyPayload) -> torch.Tensor:
        """Return the tensor, whose memory is the map."""
        if payload.source is not self._source:
            self._begin(payload.source)
        start, dtype, shape = payload.place, payload.dtype, payload.shape
        count, itemsize = math.prod(shape), dtype.itemsize
        if (
            type(start) is not int
            or payload.is_planes
            or dtype is torch.bool
            or not 0 < count * itemsize <= self._size - start
            or (
                (self._address + start) % _OF_PRODUCTS
                and (self._address + start) % _alignment(payload)
            )
        ):
            return payload.load(self._maps)
        content = self._content
        if payload.source.verify and not self._is_sound(
            payload, content[start : start + count * itemsize], start
        ):
            return payload.load(self._maps)
        tensor = torch.frombuffer(content, dtype=dtype, count=count, offset=start)
        if len(shape) == 1:
            return tensor
        return tensor.view(*shape) if shape else tensor.view(shape)

    def _begin(self, source: Source) -> None:
        """Look up what is the same for all payloads of ``source``."""
        self._source, self._table, self._size = source, None, 0
        content = self._maps.mapped_bytes(source, 0, source.size)
        if content:
            self._content, self._size = content, len(content)
            self._address = torch.frombuffer(content, dtype=torch.uint8).data_ptr()

    def _is_sound(self, payload: LazyPayload, data: memoryview, start: int) -> bool:
        """Return whether ``data`` has its checksum; False also if this is unknown."""
        table = payload.sum
        if not isinstance(table, SumTable) or self._maps.sums_ahead is not None:
            return False
        if table is not self._table:
            self._table, self._number = table, 0
            self._sums = table.sums
        number, starts = self._number, table.starts
        if number >= len(starts) or starts[number] != start - table.first:
            number = bisect_left(starts, start - table.first)
        self._number = number + 1
        return xxhash.xxh3_64_digest(data) == self._sums[8 * number : 8 * number + 8]


def announce(
    payloads: Iterable[object], maps: Maps | None = None, *, in_blocks: bool = False
) -> None:
    """Announce which payloads will be read soon, for storages that fetch many together.

    With ``in_blocks`` it is by `LazyPayload.blocks`, one after the other.
    """
    pieces: dict[int, tuple[RemoteLike, list[tuple[int, int]]]] = {}
    for payload in payloads:
        payload = getattr(payload, "origin", payload)
        if isinstance(payload, LazyPayload) and is_remote(payload.source):
            source = payload.source
            row = pieces.setdefault(id(source), (source, []))
            row[1].extend(payload.pieces)
    for source, ranges in pieces.values():
        reader: Source = source if maps is None else maps.of(source)
        if is_remote(reader):
            reader.expect(ranges, in_blocks=in_blocks)


_FEW = 32
"""Number of blocks that one thread assembles."""


def _blocks(
    pieces: Sequence[tuple[int, int]], step: int
) -> Iterator[tuple[int, int, int]]:
    """Return location and length of each block, and where its values go."""
    place = 0
    for offset, count in pieces:
        for at in range(offset, offset + count, step):
            length = min(step, offset + count - at)
            yield at, length, place
            place += length


def tensor_of(
    data: memoryview, payload: LazyPayload, *, is_flat: bool = False
) -> torch.Tensor:
    """Return ``data`` as a tensor of the stored dtype and shape, without a copy.

    If ``is_flat`` it is a piece of the values, of one dimension. Raises
    `RecordFormatError` for bytes that are not booleans.
    """
    shape = (len(data) // payload.dtype.itemsize,) if is_flat else payload.shape
    if not len(data):
        return torch.empty(shape, dtype=payload.dtype)
    if payload.dtype is torch.bool:
        raw = torch.frombuffer(data, dtype=torch.uint8)
        if int(raw.max()) > 1:
            raise RecordFormatError(
                payload.source.name, f"{payload.path}: a byte that is not a boolean"
            )
    tensor = torch.frombuffer(data, dtype=payload.dtype)
    if tensor.data_ptr() % _alignment(payload):
        tensor = torch.frombuffer(data, dtype=torch.uint8).clone().view(payload.dtype)
    # A tensor of one dimension has its shape already, and half of all tensors have.
    # Torch reads sizes faster than a tuple of them.
    if len(shape) == 1:
        return tensor
    return tensor.view(*shape) if shape else tensor.view(shape)


def _alignment(payload: LazyPayload) -> int:
    """Return the required alignment of values that are not copied.

    Products of a matrix and a vector are rounded differently in the last bit if torch's
    own memory would be aligned to 16 bytes and this is not, so that the module would
    differ from the saved one. Other libraries' files are mapped as they are, which
    makes them fast.
    """
    return _OF_PRODUCTS if payload.sum is not None else payload.dtype.itemsize


_OF_PRODUCTS = 16
"""Bytes; measured with MKL, whose products torch's CPU wheels use."""


class SumInOrder:
    """The checksum of a payload that is read in several runs, one after the other."""

    def __init__(self) -> None:
        self._total = xxhash.xxh3_64()
        self.n_bytes = 0
        """The number of bytes in it, from the first on."""

    def add(self, at: int, data: memoryview) -> None:
        """Add the bytes from number ``at`` on, unless they do not follow."""
        if at == self.n_bytes:
            self._total.update(data)
            self.n_bytes += len(data)

    def digest(self) -> bytes:
        """Return the checksum of everything added."""
        return self._total.digest()
