"""FrameSource: the content of a file of zstd frames, with random access."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import zstandard

from ..errors import RecordChecksumError, RecordFormatError
from ..io.source import Source, check_extent, fresh_memory, source_beside
from .zstd_frames import MARK, MOST_CONTENT, decompressor, read_table

_MOST_KEPT = 4
"""Number of decoded frames kept: the last payload's, the checksums', the header's."""


class FrameSource:
    """The output of `zstd -d`; reading decodes only the frames that are accessed.

    Each frame has a checksum of its own, which zstd verifies. Thread-safe.
    """

    def __init__(self, packed: Source) -> None:
        self.name, self.verify = packed.name, packed.verify
        self._inner = packed
        self._kept: list[tuple[int, bytes]] = []
        rows = read_table(lambda n: packed.read(packed.size - n, n), packed.size)
        if isinstance(rows, str):
            raise RecordFormatError(
                packed.name, rows, cure="Copy the file again or use an older one."
            )
        if bytes(packed.read(0, len(MARK))) != MARK:
            raise RecordFormatError(
                packed.name, "unexpected first bytes", "those of an .mpk.zst file"
            )
        self._frames: np.ndarray[Any, Any] = _starts(rows[:, 0])
        self._contents: np.ndarray[Any, Any] = _starts(rows[:, 1])
        self.size = int(self._contents[-1])

    def read(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes of the content at ``offset``, decoded."""
        check_extent(self, offset, count)
        for start, content in self._kept:
            if start <= offset and offset + count <= start + len(content):
                part = memoryview(content)[offset - start :][:count]
                return memoryview(bytearray(part))
        out, n_done = fresh_memory(count), 0
        # Equal starts are empty frames before the one that is meant.
        number = int(np.searchsorted(self._contents, offset, "right")) - 1
        while n_done < count:
            start = offset + n_done - int(self._contents[number])
            size = int(self._contents[number + 1] - self._contents[number])
            length = min(count - n_done, size - start)
            content = self._content(number, keep=length < size)
            out[n_done : n_done + length] = memoryview(content)[start : start + length]
            n_done += length
            number += 1
        return out

    def beside(self, name: str) -> "FrameSource":
        """Return the content of the file ``name`` of the same folder."""
        return FrameSource(source_beside(self._inner, name))

    @property
    def is_remote(self) -> bool:
        """Whether frames come from another machine, so that announcing them pays."""
        return bool(getattr(self._inner, "is_remote", False))

    def expect(
        self, ranges: Iterable[tuple[int, int]], *, in_blocks: bool = False
    ) -> None:
        """Announce content that will be read: the frames that hold it are fetched."""
        frames: set[tuple[int, int]] = set()
        for offset, count in ranges:
            start = int(np.searchsorted(self._contents, offset, "right")) - 1
            end = int(np.searchsorted(self._contents, offset + count, "left"))
            frames.update(self._extent(number) for number in range(start, end))
        self._remote.expect(sorted(frames))

    def expect_surroundings(self, rows: Sequence[tuple[int, bytes, str]]) -> None:
        """Do nothing: each frame has a checksum, verified when it is decoded."""

    def confirm(self) -> None:
        """Raise `RecordFormatError` if the file was replaced by another one."""
        self._remote.confirm()

    @property
    def _remote(self) -> Any:
        return self._inner

    def _extent(self, number: int) -> tuple[int, int]:
        start, end = int(self._frames[number]), int(self._frames[number + 1])
        return start, end - start

    def view(self, offset: int, count: int) -> memoryview:
        """Return the same: compressed content cannot be mapped."""
        return self.read(offset, count)

    def mapped(self) -> "FrameSource":
        """Return the same content of the compressed file, mapped."""
        copied = copy.copy(self)
        copied._inner = self._inner.mapped()
        return copied

    def close(self) -> None:
        """Release the file."""
        self._inner.close()

    def _content(self, number: int, *, keep: bool) -> bytes:
        content_start = int(self._contents[number])
        for cached_start, content in self._kept:
            if cached_start == content_start:
                return content
        frame = self._inner.read(*self._extent(number))
        content = _decoded(
            frame, int(self._contents[number + 1]) - content_start, self.name
        )
        if keep:
            # Replaced, never changed, since another thread may be searching it.
            self._kept = [(content_start, content), *self._kept[: _MOST_KEPT - 1]]
        return content


def _decoded(frame: memoryview, size: int, file: str) -> bytes:
    # A frame that states its size is decoded into that much memory, whatever limit is
    # passed: so the size must be the table's, which has one.
    try:
        stated = zstandard.get_frame_parameters(frame)
        if (
            stated.content_size != size
            or not stated.has_checksum
            or stated.dict_id
            or stated.window_size > 8 * MOST_CONTENT
        ):
            raise RecordFormatError(file, "a frame that does not match its table")
        content = decompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise RecordChecksumError(file, "a compressed frame") from error
    if len(content) != size:
        raise RecordFormatError(file, "a frame that does not match its table")
    return content


def _starts(sizes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)))
