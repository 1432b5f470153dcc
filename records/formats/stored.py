"""The payload of an entry in a file, read and verified when it is asked for."""

from dataclasses import dataclass

import torch
import xxhash

from ..errors import RecordChecksumError, RecordFormatError
from ..planes import join_planes
from ..source import Source


@dataclass(slots=True, eq=False)
class Stored:
    """Bytes of one entry: where they lie, what they are, and their sum."""

    source: Source
    path: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    pieces: tuple[tuple[int, int], ...]
    """Offset and length of each part; nearly always one."""
    sum_at: int | None
    """Where the 8 bytes of the xxh3-64 sum lie; None for formats without sums."""
    is_planes: bool = False

    def load(self) -> torch.Tensor:
        """Return the tensor; its memory is its own or a private map of the file."""
        data = self._bytes()
        if self.source.verify and self.sum_at is not None:
            expected = self.source.read(self.sum_at, 8)
            if xxhash.xxh3_64_digest(data) != expected:
                raise RecordChecksumError(self.source.name, self.path)
        return tensor_of(data, self, planes=self.is_planes)

    def _bytes(self) -> memoryview:
        if len(self.pieces) == 1:
            offset, count = self.pieces[0]
            return self.source.view(offset, count)
        whole = torch.empty(sum(n for _, n in self.pieces), dtype=torch.uint8)
        data, done = memoryview(whole.numpy()), 0
        for offset, count in self.pieces:
            data[done : done + count] = self.source.read(offset, count)
            done += count
        return data


def tensor_of(data: memoryview, stored: "Stored", *, planes: bool) -> torch.Tensor:
    """Return ``data`` as a tensor of the stored dtype and shape, without a copy.

    Raises `RecordFormatError` for bytes that are no booleans.
    """
    if not len(data):
        return torch.empty(stored.shape, dtype=stored.dtype)
    if planes:
        return join_planes(data, stored.dtype).view(stored.shape)
    if stored.dtype is torch.bool:
        raw = torch.frombuffer(data, dtype=torch.uint8)
        if int(raw.max()) > 1:
            raise RecordFormatError(
                stored.source.name, f"{stored.path}: a byte that is no boolean"
            )
    return torch.frombuffer(data, dtype=stored.dtype).view(stored.shape)
