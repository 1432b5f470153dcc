"""The values of an entry in a JSON file: written line by line, read piece by piece."""

import binascii
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import xxhash

from ..entries.entry import Entry
from ..errors import RecordChecksumError, RecordFormatError
from ..io.lazy_payload import MUCH
from ..io.source import ClosedFileError, Maps, Source
from ..writing.contents import RowPayload
from ..writing.payload import byte_view
from .json_numbers import LINE, numbers_of, real_numbers, text_of_numbers

_PIECE = 1 << 20
_ONE_LINE = 16


def number_lines(payload: RowPayload) -> Iterator[bytes]:
    """Return the values of ``payload`` as the text between brackets."""
    dtype = payload.row.dtype
    is_long = payload.row.size > _ONE_LINE * dtype.itemsize
    line = b"\n" if is_long else b""
    separator = line
    for chunk in payload:
        parts = real_numbers(torch.frombuffer(chunk, dtype=dtype))
        for start in range(0, parts.numel(), LINE):
            yield separator
            yield text_of_numbers(parts[start : start + LINE])
            separator = b"," + line
    yield line


def base64_text(payload: RowPayload) -> Iterator[bytes]:
    """Return the bytes of ``payload`` as one base64 string, in parts."""
    carry = b""
    for chunk in payload:
        data = carry + bytes(chunk)
        n_whole = len(data) - len(data) % 3
        yield binascii.b2a_base64(data[:n_whole], newline=False)
        carry = data[n_whole:]
    yield binascii.b2a_base64(carry, newline=False)


class Texts:
    """The locations of all entries' values in a text, and their checksums, by number.

    They are columns: an object for each number would double the memory of a file of
    many entries.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.starts, self.ends = array("q"), array("q")
        self.sums = bytearray()
        """The xxh3-64 checksum of each payload, in 8 bytes."""
        self.without_sum: set[int] = set()
        """Entries whose checksum was removed by hand."""
        self.in_base64: set[int] = set()

    def add(
        self, start: int, end: int, digest: bytes | None, *, is_base64: bool
    ) -> None:
        """Add the location of the next entry's values, and their checksum."""
        number = len(self.starts)
        self.starts.append(start)
        self.ends.append(end)
        self.sums += digest or bytes(8)
        if digest is None:
            self.without_sum.add(number)
        if is_base64:
            self.in_base64.add(number)

    def payload_of(self, number: int, entry: Entry) -> "Text":
        """Return what reads the values of ``entry``, which has this ``number``."""
        return Text(self, number, entry.path, entry.dtype, entry.shape)


@dataclass(slots=True, eq=False)
class Text:
    """The values of one entry in the text, and their expected form."""

    texts: Texts
    number: int
    path: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def is_piecewise(self) -> bool:
        """Whether a save reads blocks of it: `load` allocates memory for all of it."""
        return self._count * self.dtype.itemsize > MUCH

    def load(self, maps: Maps | None = None) -> torch.Tensor:
        """Return the tensor in the text, compared with its checksum."""
        try:
            self._check_length()
        except ValueError as error:
            raise self._damage(error) from error
        values, n_done = torch.empty(self._count, dtype=self.dtype), 0
        for block in self.blocks():
            values[n_done : n_done + len(block)] = block
            n_done += len(block)
        return values.view(self.shape)

    def blocks(self) -> Iterator[torch.Tensor]:
        """Yield the values as small flat tensors, then compare the checksum.

        Each has a few MiB at most. Raises the errors of `load`.
        """
        total = xxhash.xxh3_64()
        try:
            self._check_length()
            pieces = self._decoded() if self._is_base64 else self._parsed()
            for values in pieces:
                total.update(byte_view(values))
                yield values
        except ClosedFileError:
            raise
        except (ValueError, binascii.Error) as error:
            raise self._damage(error) from error
        if self._is_checked and total.digest() != self._sum:
            raise RecordChecksumError(self.source.name, self.path)

    def _damage(self, error: Exception) -> RecordFormatError:
        return RecordFormatError(
            self.source.name, f"damaged values of {self.path!r:.80}: {error}"
        )

    def _check_length(self) -> None:
        """Raise ValueError for a text that is too short for its values.

        So memory stays proportional to the text: a number takes a digit and a comma.
        """
        start, end = self._extent
        length = end - start
        size = self._count * self.dtype.itemsize
        if self._is_base64 and length != 4 * -(-size // 3):
            raise ValueError(f"base64 whose length is not that of {size:,} bytes")
        if not self._is_base64 and 2 * self._n_numbers - 1 > length:
            raise ValueError(f"fewer than {self._n_numbers:,} numbers")

    def _decoded(self) -> Iterator[torch.Tensor]:
        carry, step = bytearray(), self.dtype.itemsize
        for text in self._pieces():
            carry += binascii.a2b_base64(text, strict_mode=True)
            if self.dtype is torch.bool and carry and max(carry) > 1:
                raise ValueError("a byte that is not a boolean")
            n_whole = len(carry) - len(carry) % step
            # A slice of a bytearray is a copy, so that no view keeps it from growing.
            data, carry = carry[:n_whole], carry[n_whole:]
            if data:
                yield torch.frombuffer(data, dtype=self.dtype)

    def _parsed(self) -> Iterator[torch.Tensor]:
        count = self._n_numbers
        dtype = self.dtype.to_real() if self.dtype.is_complex else self.dtype
        n_done, uncut = 0, torch.empty(0, dtype=dtype)
        for text in self._number_texts():
            numbers = numbers_of(text, dtype)
            n_done += len(numbers)
            if n_done > count:
                raise ValueError(f"more than {count:,} numbers")
            if self.dtype.is_complex:
                numbers = torch.cat((uncut, numbers))
                n_whole = len(numbers) - len(numbers) % 2
                numbers, uncut = numbers[:n_whole], numbers[n_whole:]
                numbers = torch.view_as_complex(numbers.view(-1, 2))
            yield numbers
        if n_done != count:
            raise ValueError(f"{n_done:,} numbers instead of {count:,}")

    def _number_texts(self) -> Iterator[bytes]:
        """Yield the text in pieces that end where a comma was."""
        carry = b""
        for piece in self._pieces():
            at = piece.rfind(b",")
            if at < 0:
                carry += piece
                if len(carry) > 2 * _PIECE:
                    raise ValueError("a number of over a million characters")
                continue
            yield _numbers_in(carry + piece[:at])
            carry = piece[at + 1 :]
        if self._count or carry.strip():
            yield _numbers_in(carry)

    def _pieces(self) -> Iterator[bytes]:
        start, end = self._extent
        for at in range(start, end, _PIECE):
            yield bytes(self.source.read(at, min(_PIECE, end - at)))

    @property
    def source(self) -> Source:
        """The source of the text."""
        return self.texts.source

    @property
    def _extent(self) -> tuple[int, int]:
        return self.texts.starts[self.number], self.texts.ends[self.number]

    @property
    def _is_base64(self) -> bool:
        return self.number in self.texts.in_base64

    @property
    def _is_checked(self) -> bool:
        return self.source.verify and self.number not in self.texts.without_sum

    @property
    def _sum(self) -> bytes:
        return bytes(self.texts.sums[8 * self.number : 8 * self.number + 8])

    @property
    def _n_numbers(self) -> int:
        return self._count * (2 if self.dtype.is_complex else 1)

    @property
    def _count(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count


def _numbers_in(text: bytes) -> bytes:
    if not text.strip():
        raise ValueError("a comma without a number next to it")
    return text
