"""Where bytes come from: a file, mapped or read; an open file; memory."""

import io
import mmap
import os
from typing import Any, BinaryIO, Protocol

import torch

from ..config.storage.opening import IrregularFileError, open_regular
from .errors import RecordError, RecordFormatError

_WINDOW = 1 << 20
"""From this size on, a single tensor is mapped rather than read."""


class Source(Protocol):
    """Bytes with random access; what it returns may be changed, the file never is."""

    name: str
    size: int
    verify: bool
    """Whether payloads are compared with their checksums."""

    def read(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset``; RecordFormatError if there are less."""
        ...

    def view(self, offset: int, count: int) -> memoryview:
        """Return the same, mapped if that is possible: nothing is copied until used."""
        ...

    def map(self) -> None:
        """Say that most of the content will be used, so that `view` costs little."""
        ...

    def unmap(self) -> None:
        """Forget the map; views that were returned stay valid."""
        ...

    def close(self) -> None:
        """Let go of the file; views that were returned stay valid."""
        ...


class FileSource:
    """A file on disk: mapped copy-on-write, or read where mapping is unwise."""

    def __init__(
        self, path: str, *, verify: bool = True, map_file: bool | None = None
    ) -> None:
        self.name, self.verify = path, verify
        self._map: memoryview | None = None
        self._fd: int | None = None
        try:
            self._fd = open_regular(path).detach()
        except IrregularFileError as error:
            raise RecordFormatError(path, str(error.strerror)) from error
        status = os.fstat(self._fd)
        self.size = status.st_size
        self.may_map = not _is_remote(status.st_dev) if map_file is None else map_file
        if map_file:
            self.map()

    def read(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset``; RecordFormatError if there are less."""
        check_range(self, offset, count)
        if self._map is not None:
            return self._map[offset : offset + count]
        if self._fd is None:
            raise ValueError(f"{self.name} is closed; read what you need before that")
        buffer = fresh_memory(count)
        done = 0
        while done < count:
            got = os.preadv(self._fd, [buffer[done : done + (1 << 30)]], offset + done)
            if got == 0:
                raise RecordFormatError(self.name, "the file was cut while it was read")
            done += got
        return buffer

    def view(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset``, mapped if they are many."""
        if self._map is not None and 0 <= offset <= offset + count <= self.size:
            return self._map[offset : offset + count]
        if self._map is None and self.may_map and count >= _WINDOW:
            check_range(self, offset, count)
            start = offset - offset % mmap.ALLOCATIONGRANULARITY
            return self._mapped(start, offset - start + count)[offset - start :]
        return self.read(offset, count)

    def map(self) -> None:
        """Map the whole file, if it may be mapped at all."""
        if self._map is None and self.may_map and self.size:
            self._map = self._mapped(0, self.size)

    def unmap(self) -> None:
        """Forget the map; views that were returned stay valid."""
        self._map = None

    def close(self) -> None:
        """Let go of the file; views that were returned stay valid."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd = None

    def __del__(self) -> None:
        if getattr(self, "_fd", None) is not None:
            self.close()

    def _mapped(self, offset: int, count: int) -> memoryview:
        if self._fd is None:
            raise ValueError(f"{self.name} is closed; read what you need before that")
        return memoryview(
            mmap.mmap(
                self._fd,
                count,
                flags=mmap.MAP_PRIVATE,
                prot=mmap.PROT_READ | mmap.PROT_WRITE,
                offset=offset,
            )
        )


class MemorySource:
    """Bytes in memory; views are copies, so that a tensor never changes its origin."""

    def __init__(self, data: Any, *, name: str = "bytes", verify: bool = True) -> None:
        self._data = memoryview(data).cast("B")
        self.name, self.verify, self.size = name, verify, len(self._data)

    def read(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset``, without a copy."""
        check_range(self, offset, count)
        return self._data[offset : offset + count]

    def view(self, offset: int, count: int) -> memoryview:
        """Return a copy of ``count`` bytes at ``offset``."""
        found = self.read(offset, count)
        if not count:
            return found
        copy = fresh_memory(count)
        copy[:] = found
        return copy

    def map(self) -> None:
        """Do nothing: memory is at hand."""

    def unmap(self) -> None:
        """Do nothing: views are copies."""

    def close(self) -> None:
        """Do nothing: memory has no handle."""


class StreamSource:
    """A seekable binary file object, from where it stands to its end."""

    def __init__(
        self, file: BinaryIO, *, verify: bool = True, name: str | None = None
    ) -> None:
        self.name = name or str(getattr(file, "name", "file object"))
        self.verify, self._file = verify, file
        self._start = file.tell()
        self.size = file.seek(0, io.SEEK_END) - self._start
        file.seek(self._start)

    def read(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset``; RecordFormatError if there are less."""
        check_range(self, offset, count)
        self._file.seek(self._start + offset)
        pieces = bytearray()
        while len(pieces) < count:
            piece = self._file.read(count - len(pieces))
            if not piece:
                raise RecordFormatError(self.name, "the file ends before its content")
            pieces += piece
        return memoryview(pieces)

    def view(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset``."""
        return self.read(offset, count)

    def map(self) -> None:
        """Do nothing: a file object is always read."""

    def unmap(self) -> None:
        """Do nothing: views are copies."""

    def close(self) -> None:
        """Do nothing: who opened the file closes it."""


def check_range(source: Source, offset: int, count: int) -> None:
    """Raise `RecordFormatError` unless the source has ``count`` bytes at ``offset``."""
    if offset < 0 or count < 0 or offset + count > source.size:
        raise RecordFormatError(
            source.name,
            f"{source.size:,} bytes",
            f"at least {offset + count:,}",
            "The file was cut short; copy or save it again.",
        )


def fresh_memory(count: int) -> memoryview:
    """Return ``count`` writable bytes; their pages are not touched before use."""
    try:
        memory: Any = torch.empty(count, dtype=torch.uint8).numpy()
    except (RuntimeError, MemoryError) as error:
        raise RecordError(f"there are no {count:,} bytes of free memory") from error
    return memoryview(memory)


_REMOTE = (
    "nfs",
    "cifs",
    "smb",
    "fuse",
    "lustre",
    "gpfs",
    "ceph",
    "9p",
    "afs",
    "beegfs",
)


def _is_remote(device: int) -> bool:
    """Return whether the device is a network's, where a map may end the process."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
            for line in mounts:
                left, _, right = line.partition(" - ")
                if left.split()[2] == number:
                    return right.startswith(_REMOTE)
    except OSError:
        pass
    return False
