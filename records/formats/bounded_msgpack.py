"""MessagePack of plain data, read with memory proportional to its length."""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np

from ..entries.nodes import unique_map
from ..errors import RecordError, RecordFormatError
from ..limits import (
    LIST,
    MAP,
    MEMBER,
    MOST_PER_BYTE,
    NUMBER,
    TEXT,
    WORD,
    odd_text_in_header,
    text_cost,
    unstorable_text,
)


def pack_bounded(header: dict[str, Any], limit: int) -> memoryview:
    """Return a header as MessagePack of at most ``limit`` bytes, or RecordError.

    The columns of its table are removed once they are packed, and arrays become lists
    then: for 200,000 entries they are 30 MB.
    """
    packer = msgpack.Packer(autoreset=False, use_bin_type=True, default=_as_list)
    try:
        packer.pack_map_header(len(header))
        for key, value in header.items():
            packer.pack(key)
            if key == "tensors":
                packer.pack_map_header(len(value))
                for name in [*value]:
                    packer.pack(name)
                    packer.pack(value[name])
                    del value[name]
            else:
                packer.pack(value)
    except UnicodeEncodeError as error:
        raise unstorable_text(str(odd_text_in_header(header))) from error
    except ValueError as error:
        raise RecordError(f"plain data that cannot be stored: {error}") from error
    packed: memoryview = packer.getbuffer()
    if len(packed) > limit:
        raise RecordError(
            f"the header would take {len(packed):,} bytes, but files may have "
            f"{limit:,}; store fewer entries or less metadata in one file"
        )
    return packed


def _as_list(value: object) -> list[Any]:
    if isinstance(value, array):
        return value.tolist()
    raise TypeError(f"can not serialize {type(value).__name__!r} object")


class MessagePackReader:
    """Reads one map member by member; RecordFormatError for anything but plain data."""

    def __init__(self, data: memoryview, file: str, allowance: int) -> None:
        self._data, self._file, self._allowance = data, file, allowance
        self._spent = self._overestimated = 0
        self._parts: list[_Part] = []
        self.is_small = is_small(data, allowance)
        """Whether its values are certainly few, so that none is counted."""
        self._unpacker = msgpack.Unpacker(**_OPTIONS, max_buffer_size=len(data))
        self._run(self._unpacker.feed, data)

    def members(self) -> Iterator[str]:
        """Return the keys of a map; each one's value must be read before the next."""
        keys: set[str] = set()
        for _ in range(self._run(self._unpacker.read_map_header)):
            key = self._run(self._unpacker.unpack)
            if not isinstance(key, str) or key in keys:
                raise RecordFormatError(
                    self._file, f"a damaged header: the key {key!r:.80}"
                )
            keys.add(key)
            yield key

    def value(self) -> Any:
        """Read any value; `settle` frees the memory it was counted with."""
        if self.is_small:
            return self._run(self._unpacker.unpack)
        start = self._unpacker.tell()
        self._run(self._unpacker.skip)
        part = self._data[start : self._unpacker.tell()]
        self._spend(part)
        return self._run(lambda: msgpack.unpackb(part, **_OPTIONS))

    @property
    def spent(self) -> int:
        """A mark for `settle`: a careful estimate of the memory taken so far."""
        return self._spent

    def settle(self, spent: int) -> None:
        """Declare that kept values take ``spent`` bytes; the rest is free."""
        while self._parts and self._parts[-1].start >= spent:
            self._overestimated -= self._parts.pop().overestimated
        self._spent = spent

    def end(self) -> None:
        """Raise unless everything was read."""
        if self._unpacker.tell() != len(self._data):
            raise RecordFormatError(self._file, "bytes after the end of the header")

    def _spend(self, data: memoryview) -> None:
        self._parts.append(_Part(self._spent, data))
        self._spent += _most(data)
        if self._spent > self._allowance:
            # The quick estimates may add up to many times the memory of the values.
            for part in self._parts:
                self._overestimated += part.count()
        if self._spent - self._overestimated > self._allowance:
            raise RecordFormatError(
                self._file,
                f"values that would take over {self._allowance:,} bytes of memory, in "
                f"a header of {len(self._data):,}",
            )

    def _run(self, step: Callable[..., Any], *args: object) -> Any:
        try:
            return step(*args)
        except (ValueError, msgpack.UnpackException, RecursionError) as error:
            raise RecordFormatError(
                self._file, f"a damaged header ({error!s:.200})"
            ) from error


@dataclass(slots=True)
class _Part:
    """A value that was read, and the memory counted before it."""

    start: int
    data: memoryview
    overestimated: int = 0
    is_counted: bool = False

    def count(self) -> int:
        """Count the memory of the value; return how much the estimate was too high."""
        if self.is_counted:
            return 0
        most = _most(self.data)
        self.overestimated = most - min(most, _exact(self.data, most))
        self.is_counted = True
        return self.overestimated


def is_small(data: memoryview, allowance: int) -> bool:
    """Return whether values of so many bytes are certainly few."""
    return _most(data) <= allowance


def _most(data: memoryview) -> int:
    """Return an upper bound for the memory of values of so many bytes."""
    if len(data) < 1 << 18:
        return len(data) * MOST_PER_BYTE
    codes = np.frombuffer(data, np.uint8)
    # Text and small numbers have codes below 0x80. Parts of other values may look like
    # the start of one, so this counts too much, never too little.
    high = codes[codes >= 0x80]
    maps = high[high <= 0x8F] & 15
    n_lists = int(
        ((high >= 0x90) & (high <= 0x9F) | (high == 0xDC) | (high == 0xDD)).sum()
    )
    n_large_maps = int(((high == 0xDE) | (high == 0xDF)).sum())
    n_members = int(maps.sum()) + (len(codes) // 2 if n_large_maps else 0)
    n_others = len(high) - len(maps) - n_lists - n_large_maps
    return (
        (len(maps) + n_large_maps) * MAP
        + n_members * MEMBER
        + n_lists * LIST
        + n_others * (TEXT + WORD)
        + len(codes) * (WORD + 2)
    )


def _exact(data: memoryview, limit: int) -> int:
    """Return the memory that the values of ``data`` take, counted up to ``limit``."""
    cost, at, end = 0, 0, len(data)
    while at < end and cost <= limit:
        code = data[at]
        at += 1
        if code <= 0x7F or code >= 0xE0 or 0xC0 <= code <= 0xC3:
            cost += WORD
        elif code <= 0x8F:
            cost += MAP + MEMBER * (code & 15)
        elif code <= 0x9F:
            cost += LIST
        elif code <= 0xBF:
            cost += TEXT + WORD + (code & 31)
            at += code & 31
        elif code in _LENGTHS:
            width = _LENGTHS[code]
            length = int.from_bytes(data[at : at + width], "big")
            at += width
            cost += text_cost(data[at : at + length])
            at += length
        elif code in (0xDC, 0xDD):
            cost += LIST
            at += 2 if code == 0xDC else 4
        elif code in (0xDE, 0xDF):
            width = 2 if code == 0xDE else 4
            cost += MAP + MEMBER * int.from_bytes(data[at : at + width], "big")
            at += width
        else:
            cost += NUMBER
            at += _FIXED.get(code, 0)
    return cost


_LENGTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_FIXED = {
    0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4,
    0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip


def _no_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"an extension of type {code}")


_OPTIONS: dict[str, Any] = {
    "raw": False,
    "strict_map_key": True,
    "object_pairs_hook": unique_map,
    "unicode_errors": "strict",
    "ext_hook": _no_extension,
}
