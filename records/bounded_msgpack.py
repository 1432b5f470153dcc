"""MessagePack of plain data, read with memory in proportion to its length."""

from typing import Any

import msgpack
import numpy as np

from .errors import RecordError, RecordFormatError
from .unique import unique

_CONTAINER_BYTES = 72
"""What an empty list takes, with its place in another one."""
_VALUE_BYTES = 64
"""What a short string, a float or a large int takes, with its place."""
FREE = 48 << 20
"""Memory that is granted whatever the file's size is."""


def pack_bounded(plain: Any, limit: int) -> bytes:
    """Return ``plain`` as MessagePack; RecordError if it could not be read back."""
    packer = msgpack.Packer(autoreset=False, use_bin_type=True)
    try:
        packer.pack(plain)
    except ValueError as error:
        raise RecordError(f"plain data that cannot be stored: {error}") from error
    if len(packer.getbuffer()) > limit:
        raise RecordError(
            f"the header would take {len(packer.getbuffer()):,} bytes, and files may "
            f"have {limit:,}; store fewer entries or less metadata in one file"
        )
    packed: bytes = packer.bytes()
    return packed


def check_readable(packed: bytes, budget: int) -> None:
    """Raise RecordError if `unpack_bounded` would refuse ``packed`` at this budget."""
    try:
        _check_budget(memoryview(packed), "", budget + FREE)
    except RecordFormatError as error:
        raise RecordError(
            "too many names and values for so few bytes of tensors: no reader would "
            "take it. Store fewer, longer tensors, or several files."
        ) from error


def unpack_bounded(data: memoryview, file: str, budget: int) -> Any:
    """Return the one value that ``data`` holds.

    ``budget`` is how many bytes of memory it may take beyond 48 MiB. Raises
    `RecordFormatError` for anything else than plain data with string keys.
    """
    _check_budget(data, file, budget + FREE)
    unpacker = msgpack.Unpacker(
        raw=False,
        strict_map_key=True,
        object_pairs_hook=unique,
        ext_hook=_no_extension,
        max_buffer_size=len(data),
        unicode_errors="strict",
    )
    try:
        unpacker.feed(data)
        value = unpacker.unpack()
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise RecordFormatError(file, f"a damaged header ({error})") from error
    if unpacker.tell() != len(data):
        raise RecordFormatError(file, "bytes after the end of the header")
    return value


def _check_budget(data: memoryview, file: str, budget: int) -> None:
    """Refuse data that a few bytes blow up to gigabytes, such as a million lists."""
    if len(data) * _CONTAINER_BYTES <= budget:
        return
    codes = np.frombuffer(data, np.uint8)
    # Text and small numbers have codes below 0x80. Parts of other values may look
    # like the start of one, so this counts too much, never too little.
    high = codes[codes >= 0x80]
    containers = int(((high <= 0x9F) | (high >= 0xDC) & (high <= 0xDF)).sum())
    values = len(high) - containers
    most = containers * _CONTAINER_BYTES + values * _VALUE_BYTES + len(codes) * 10
    if most > budget and _exact(data, budget) > budget:
        raise RecordFormatError(
            file, f"a header of {len(data):,} bytes that would fill over {budget:,}"
        )


def _exact(data: memoryview, budget: int) -> int:
    """Return the memory that the values of ``data`` take, counted one by one."""
    taken, at, end = 0, 0, len(data)
    while at < end and taken <= budget:
        code = data[at]
        at += 1
        if code <= 0x7F or code >= 0xE0 or 0xC0 <= code <= 0xC3:
            taken += 8
        elif code <= 0x9F or 0xDC <= code <= 0xDF:
            taken += _CONTAINER_BYTES
            at += {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}.get(code, 0)
        elif code <= 0xBF:
            taken += _VALUE_BYTES + (code & 31)
            at += code & 31
        elif code in _LENGTHS:
            width = _LENGTHS[code]
            length = int.from_bytes(data[at : at + width], "big")
            taken += _VALUE_BYTES + length
            at += width + length
        else:
            taken += _VALUE_BYTES
            at += _FIXED.get(code, 0)
    return taken


_LENGTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_FIXED = {
    0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4,
    0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip


def _no_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"an extension of type {code}")
