"""Input of bytes: a file, mapped or read; memory."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeGuard

import numpy as np
import torch
import xxhash

from ...config.process.interrupts import raise_of_signal, suppressed
from ...config.process.late_property import late_property
from ...config.process.log import LOG
from ...config.short_text import quantity
from ...config.storage.opening import Descriptor, IrregularFileError, open_regular
from ..errors import TRUNCATED, ForeignFileError, RecordError, RecordFormatError
from .private_map import GRANULARITY, private_map

_WINDOW = 1 << 20
"""Size from which a file or a single tensor is mapped rather than read."""
_END = 1 << 16
"""Bytes at either end of a file that identify it."""
_FIRST, _LAST = 1 << 16, 1 << 14
"""Size that includes the header and the checksums of a thousand tensors."""


class Source(Protocol):
    """Bytes with random access, for any number of threads; the file never changes."""

    name: str
    size: int
    verify: bool
    """Whether payloads are compared with their checksums."""

    def read(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset``; RecordFormatError for fewer."""
        ...

    def view(self, offset: int, count: int) -> memoryview:
        """Return the same as memory that is not shared, and may be changed."""
        ...

    def mapped(self) -> "Source":
        """Return the same bytes for one load, mapped if possible and worthwhile.

        Views of it are parts of one private memory: a caller that reads no byte twice
        has them alone. It stays usable, with its views, after this source was closed.
        """
        ...

    def close(self) -> None:
        """Release the file; returned views stay valid."""
        ...


class RemoteLike(Source, Protocol):
    """A source that fetches announced ranges in few requests."""

    def expect(
        self, ranges: Iterable[tuple[int, int]], *, in_blocks: bool = False
    ) -> None:
        """Announce what will be read, each range (offset, length) once and soon."""
        ...

    def expect_surroundings(self, rows: Sequence[tuple[int, bytes, str]]) -> None:
        """Set the expected bytes around payloads, and the error if they differ."""
        ...

    def confirm(self) -> None:
        """Raise `RecordFormatError` if the content was replaced."""
        ...


def is_remote(source: object) -> TypeGuard[RemoteLike]:
    """Return whether the bytes are on another machine, behind requests."""
    return getattr(source, "is_remote", False)


class ClosedFileError(ValueError):
    """A read after the file was closed, which says nothing about its content."""


def source_beside(source: Source, name: str) -> Source:
    """Return the file ``name`` in the folder of ``source``; both are closed together.

    RecordFormatError if the source is not a file of a folder, if only its own content
    was verified by a digest, or if the other file is missing.
    """
    if getattr(source, "is_alone", False):
        raise RecordFormatError(
            source.name,
            f"values stored in {name}, which the SHA-256 does not cover",
            "a file that holds all of its values, since sha256= is that of one file",
            "Save the record with its values in the file, and pin that.",
        )
    beside: Any = getattr(source, "beside", None)
    if beside is None:
        raise RecordFormatError(
            source.name,
            f"values stored in {name}, in the folder of the file",
            "the path of the file",
            "Open it by its path, in the folder where it was saved.",
        )
    neighbor: Source = beside(name)
    return neighbor


def digest_of_bytes(source: Source) -> bytes:
    """Return the xxh3-128 checksum of all bytes of ``source``."""
    total = xxhash.xxh3_128()
    for start in range(0, source.size, _WINDOW):
        total.update(source.read(start, min(_WINDOW, source.size - start)))
    return total.digest()


def digest_of_ends(source: Source) -> bytes:
    """Return the xxh3-128 of the size of ``source``, its first and last bytes."""
    total = xxhash.xxh3_128(str(source.size).encode())
    count = min(_END, source.size)
    total.update(source.read(0, count))
    total.update(source.read(source.size - count, count))
    return total.digest()


class DigestsAhead(Protocol):
    """Something that has started to hash payloads."""

    def digest(self, payload: Any, data: memoryview) -> bytes:
        """Return the xxh3-64 checksum of ``data``, the bytes of ``payload``."""
        ...


class Maps:
    """The sources that one load reads, each mapped once, and for this load alone.

    Two loads of one record, even simultaneous ones, never share memory.
    """

    def __init__(self) -> None:
        self._mapped: dict[int, tuple[Source, Source]] = {}
        self.sums_ahead: DigestsAhead | None = None
        """What hashes payloads before they are read, if anything."""

    def of(self, source: Source) -> Source:
        """Return ``source`` as this load reads it."""
        pair = self._mapped.get(id(source))
        if pair is None:
            # The source is kept with its map, so that its id is not reused.
            pair = self._mapped[id(source)] = (source, source.mapped())
        return pair[1]

    def mapped_bytes(
        self, source: Source, offset: int, count: int
    ) -> memoryview | None:
        """Return the mapped source for the load; None if it is not mapped."""
        mapped = self.of(source)
        if not isinstance(mapped, _WholeFile) or offset + count > mapped.size:
            return None
        return mapped.read(offset, count)


class FileSource:
    """A file on disk: mapped copy-on-write, or read if mapping is unwise."""

    def __init__(
        self, path: str, *, verify: bool = True, map_file: bool | None = None
    ) -> None:
        self.name, self.verify = path, verify
        try:
            opened = open_regular(path)
        except IrregularFileError as error:
            raise ForeignFileError(path, str(error.strerror)) from error
        self._file: Descriptor | None = opened
        status = os.fstat(opened.fd)
        self.size, self._device = status.st_size, status.st_dev
        self._state = (status.st_size, status.st_mtime_ns)
        self._map_file = map_file
        self._is_confirmed_by_sums = verify
        _read_ahead(opened.fd, self.size)
        self.is_alone = False
        """Whether files beside it are not verified, so that none is read."""
        self._beside: list[FileSource] = []

    def beside(self, name: str) -> "FileSource":
        """Return the file ``name`` of the same folder; it is closed with this one.

        FileNotFoundError if this file itself no longer exists, and RecordFormatError if
        only the other does not.
        """
        path = os.path.join(os.path.dirname(self.name), name)
        try:
            neighbor = FileSource(path, verify=self.verify, map_file=self._map_file)
        except FileNotFoundError:
            # A writer may have removed the folder, or replaced it by another.
            opened = self._opened()
            if not os.path.samestat(os.fstat(opened.fd), os.stat(self.name)):
                raise
            raise missing_beside(self.name, name) from None
        self._beside.append(neighbor)
        return neighbor

    @late_property
    def may_map(self) -> bool:
        """Whether large parts are mapped rather than read; finding out takes long.

        What a device contains may change with a mount, so every file finds out for
        itself.
        """
        return (
            not _is_remote(self._device) if self._map_file is None else self._map_file
        )

    def read(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset``; RecordFormatError for fewer."""
        check_extent(self, offset, count)
        opened, buffer, n_read = self._opened(), fresh_memory(count), 0
        while n_read < count:
            piece = buffer[n_read : n_read + (1 << 30)]
            got = os.preadv(opened.fd, [piece], offset + n_read)
            if got == 0:
                raise early_end(self.name)
            n_read += got
        self._confirm_unless_sums()
        return buffer

    def view(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset``, many of them in a map of their own."""
        check_extent(self, offset, count)
        if count >= _WINDOW and self.may_map:
            start = offset - offset % GRANULARITY
            # Not every file can be mapped, and the number of maps is limited.
            with suppressed(OSError):
                return self._pages(start, offset + count)[offset - start :]
        return self.read(offset, count)

    def mapped(self) -> Source:
        """Return the whole file in new memory; itself if it cannot be mapped."""
        if self.size < _WINDOW:
            content = self.read(0, self.size)
            return _WholeFile(self.name, content, verify=self.verify)
        if self.may_map:
            with suppressed(OSError):
                pages = self._pages(0, self.size)
                LOG.debug("%s: %s bytes mapped for a load", self.name, f"{self.size:,}")
                return _WholeFile(self.name, pages, verify=self.verify)
        return self

    def _pages(self, start: int, end: int) -> memoryview:
        opened = self._opened()
        # Accessing a page beyond the end of a file kills the process (SIGBUS).
        if os.fstat(opened.fd).st_size < end:
            raise early_end(self.name)
        self._confirm_unless_sums()
        return private_map(opened.fd, start, end - start)

    def confirm(self) -> None:
        """Raise `RecordFormatError` if the file was written to since it was opened."""
        status = os.fstat(self._opened().fd)
        if (status.st_size, status.st_mtime_ns) != self._state:
            raise RecordFormatError(
                self.name,
                "a file that was overwritten after it was opened",
                cure="Open it again. To replace a file, write another one and rename "
                "it (os.replace).",
            )

    def confirm_every_read(self) -> None:
        """Let each read check whether the file is still the same.

        For content without checksums, which would show it.
        """
        self._is_confirmed_by_sums = False

    def _confirm_unless_sums(self) -> None:
        if not self._is_confirmed_by_sums:
            self.confirm()

    def close(self) -> None:
        """Release the file; returned views stay valid."""
        self._file = None
        for neighbor in self._beside:
            neighbor.close()

    def __getstate__(self) -> None:
        raise TypeError(
            f"{self.name}: an open file can be neither pickled nor copied. "
            "Pickle or copy the whole record, or a tensor of it, or open the file "
            "again there."
        )

    def _opened(self) -> Descriptor:
        """Return the open file, kept by a reader as long as it needs the descriptor.

        If another thread closed it meanwhile, the descriptor might belong to another
        file.
        """
        opened = self._file
        if opened is None:
            raise ClosedFileError(
                f"{self.name} is closed; read what you need before you close it"
            )
        return opened


class _WholeFile:
    """A file in memory of its own: a private map, or the content of a small one."""

    def __init__(self, name: str, content: memoryview, *, verify: bool) -> None:
        self.name, self.verify, self.size = name, verify, len(content)
        self._content = content

    def read(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset`` of it, without a copy."""
        if not 0 <= offset <= offset + count <= self.size:
            check_extent(self, offset, count)
        return self._content[offset : offset + count]

    view = read

    def mapped(self) -> Source:
        """Return itself."""
        return self

    def close(self) -> None:
        """Do nothing: no descriptor is open for it."""


class MemorySource:
    """Bytes in memory; views are copies, so that a tensor never changes its origin."""

    def __init__(
        self,
        data: Any,
        *,
        name: str = "bytes",
        verify: bool = True,
        data_beside: Callable[[str], Any] | None = None,
    ) -> None:
        """``data_beside`` returns the content of a file of that name in the folder."""
        self._data = memoryview(data).cast("B")
        self.name, self.verify, self.size = name, verify, len(self._data)
        self.is_alone = False
        """Whether files beside it are not verified, so that none is read."""
        if data_beside is not None:
            folder = os.path.dirname(name)
            self.beside = lambda neighbor: MemorySource(
                data_beside(neighbor),
                name=os.path.join(folder, neighbor),
                verify=verify,
            )

    def read(self, offset: int, count: int) -> memoryview:
        """Return ``count`` bytes at ``offset``, without a copy."""
        check_extent(self, offset, count)
        return self._data[offset : offset + count]

    def view(self, offset: int, count: int) -> memoryview:
        """Return a copy of ``count`` bytes at ``offset``."""
        original = self.read(offset, count)
        if not count:
            return original
        copy = fresh_memory(count)
        copy[:] = original
        return copy

    def mapped(self) -> Source:
        """Return itself: it is in memory, and views are copies."""
        return self

    def close(self) -> None:
        """Do nothing: memory has no handle."""


def at_hand(source: Source) -> Source:
    """Return the same bytes in memory, if they are on another machine.

    For code that reads all of them anyway, piece by piece.
    """
    if not is_remote(source):
        return source
    content = source.read(0, source.size)
    return MemorySource(content, name=source.name, verify=source.verify)


def _read_ahead(fd: int, size: int) -> None:
    """Let a disk read both ends of a file while its header is parsed.

    The first has the header, the last has checksums; requested by the steps that need
    them, each would wait for the disk.
    """
    # Not every system and file system has it, and nothing depends on it.
    if hasattr(os, "posix_fadvise"):
        with suppressed(OSError):
            os.posix_fadvise(fd, 0, min(size, _FIRST), os.POSIX_FADV_WILLNEED)
            if size > _FIRST + _LAST:
                os.posix_fadvise(fd, size - _LAST, _LAST, os.POSIX_FADV_WILLNEED)


def early_end(file: str) -> RecordFormatError:
    """Return the error for a file that became shorter while it was read."""
    return RecordFormatError(file, "its end while it was being read", cure=TRUNCATED)


def missing_beside(file: str, missing: str) -> RecordFormatError:
    """Return the error for a file with values in ``missing``, which does not exist."""
    return RecordFormatError(
        file,
        f"values stored in {missing}, which is not beside it",
        "all files that were saved with it",
        "Copy the whole folder again, or use an older one.",
    )


def check_extent(source: Source, offset: int, count: int) -> None:
    """Raise `RecordFormatError` unless the source has ``count`` bytes at ``offset``."""
    if offset < 0 or count < 0 or offset + count > source.size:
        raise RecordFormatError(
            source.name,
            quantity(source.size, "byte"),
            f"at least {offset + count:,}",
            TRUNCATED,
        )


_PAGE = 4096


def fresh_memory(count: int) -> memoryview:
    """Return ``count`` writable bytes; their pages are not touched before use."""
    if count <= _PAGE:
        # For hundreds of thousands of small tensors torch's call took half the time.
        return memoryview(bytearray(count))
    memory: Any
    try:
        memory = torch.empty(count, dtype=torch.uint8, device="cpu").numpy()
    except (RuntimeError, MemoryError) as error:
        raise_of_signal(error)
        # Under a mode of torch (`FakeTensorMode`, `torch.func.grad`) what torch creates
        # is no memory; numpy asks only the system.
        try:
            memory = np.empty(count, np.uint8)
        except MemoryError as error:
            raise RecordError(
                f"there is no memory for {quantity(count, 'byte')}"
            ) from error
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
                mount, _, filesystem = line.partition(" - ")
                if mount.split()[2] == number:
                    return filesystem.startswith(_REMOTE)
    except OSError as error:
        raise_of_signal(error)
        pass
    return False
