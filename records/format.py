"""Format: the contract of a file format, and the table of known formats."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import torch

from ..config.process.interrupts import raise_of_signal
from ..config.registry import Registry
from .entries.entries import Entries, with_parts
from .entries.entry import Kind
from .errors import RecordError, RecordFormatError
from .format_names import (
    BUILT_IN,
    check_format_name,
    format_of_suffix,
    registered_suffixes,
)
from .header.file_index import FileIndex
from .io.progress import Progress, StopsAsItself
from .io.sink import Sink
from .io.source import MemorySource, Source, digest_of_bytes, digest_of_ends
from .precision import RecordPrecision
from .processes.messages import n_processes
from .stored_contents import StoredContents
from .writing.contents import Contents


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """The user's options for the format itself."""

    level: int | None = None
    """The level of the format's compression; None leaves it to the format."""
    payload: str | None = None
    """JSON's "numbers" or "base64"; None leaves it to the format."""
    block_sums: int | None = None
    """Bytes of a payload per checksum; None for one checksum of the whole."""


class FolderIndex(Protocol):
    """An index's description of the files beside it."""

    def add_to(self, header: dict[str, Any]) -> None:
        """Add it to the header of a document."""
        ...


class Format(ABC):
    """One file format: subclass it, then call `register` once.

    A format turns a header and payloads of bytes into a file, and back. The library
    does everything else: precision, checksums, ties, atomic writing, lazy reading.
    ``encode`` streams, so that memory does not grow with the record.
    """

    name: ClassVar[str]
    """Its name in ``Recorder(format=...)``."""
    suffixes: ClassVar[tuple[str, ...]]
    """Suffixes of its files, the preferred one first."""
    magic: ClassVar[bytes] = b""
    """The first bytes of its files; empty if `recognizes` looks for something else."""
    named_as: ClassVar[str] = ""
    """Another format whose suffixes its files have; their content decides."""
    is_writable: ClassVar[bool] = True
    typed: ClassVar[bool] = True
    """Whether records with declared fields can be written, besides modules'."""
    omits: ClassVar[frozenset[Kind]] = frozenset()
    """Kinds of entries that its files omit."""
    planed: ClassVar[frozenset[torch.dtype]] = frozenset()
    """Dtypes whose payloads it wants in planes, for compression: some of
    `records.byte_planes.PLANED`."""
    has_index: ClassVar[bool] = False
    """Whether its files can have payloads in files beside them (`encode_index`)."""
    has_sums: ClassVar[bool] = True
    """Whether its files have a checksum for each payload.

    If not, only their framing can be verified, and reports say so.
    """

    def recognizes(self, head: bytes, source: Source) -> bool:
        """Return whether a file that begins with ``head`` (up to 64 bytes) is one."""
        return bool(self.magic) and head.startswith(self.magic)

    @abstractmethod
    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        """Write all of ``contents``: its header, every payload, and their checksums.

        Raise `RecordError`, before the first byte, for content that the format cannot
        hold. Any part that is not written is an error; the file then stays as it was.
        """

    @abstractmethod
    def decode(self, source: Source) -> StoredContents | Entries:
        """Return ``source``'s header and positions of payloads, without reading them.

        Trust nothing: raise `RecordFormatError` for damage, and read no more than
        exists. Any other exception becomes one, unless the format is the library's own,
        where it is a defect. (Those return records, whose payloads can be stored in
        more ways.)
        """

    def encode_index(
        self, contents: Contents, index: FileIndex, sink: Sink, options: WriteOptions
    ) -> None:
        """Write ``contents`` without payloads, which are where ``index`` says."""
        raise NotImplementedError(f"{self.name} cannot write files without payloads")

    def encode_folder_index(
        self, contents: Contents, index: FolderIndex, sink: Sink
    ) -> None:
        """Write ``contents`` without payloads, which are in the parts of a folder."""
        raise NotImplementedError(f"{self.name} cannot write folders of parts")

    def digest(self, source: Source) -> bytes:
        """Return a digest that identifies the content of ``source``.

        A format whose checksums cover every byte reads only those.
        """
        return digest_of_bytes(source)

    def fingerprint(self, source: Source) -> bytes:
        """Return a digest that nearly identifies ``source``'s values, in two reads.

        Empty for content in memory, which each process may have made by itself, with
        its own IDs. A format whose checksums cover only values returns a digest of
        those.
        """
        return b"" if isinstance(source, MemorySource) else digest_of_ends(source)

    @classmethod
    def register(cls) -> None:
        """Register the format by its name, its suffixes and its magic.

        Raises TypeError for a class that lacks a part of the contract.
        """
        missing = sorted(cls.__abstractmethods__)
        missing += [name for name in ("name", "suffixes") if not hasattr(cls, name)]
        if missing:
            raise TypeError(_advice(cls, missing))
        _formats.register(cls.name, value=cls())
        registered_suffixes.register(cls.name, value=cls.suffixes)


def _advice(cls: type[Format], missing: list[str]) -> str:
    former = [name for name in ("write", "read") if name in vars(cls)]
    change = (
        f" {' and '.join(former)} belong to the earlier contract: a format no "
        "longer handles tensors, precisions or checksums. Change write(record, "
        "sink, options) into encode(contents, sink, options), which writes "
        "contents.header and the chunks of contents.payloads() in order, and "
        "then contents.sums, and read(source) into decode(source)."
        if former
        else ""
    )
    return f"{cls.__qualname__} lacks {', '.join(missing)}.{change} See docs/format.md."


def read_record(form: Format, source: Source) -> Entries:
    """Return the record in ``source``, lazily. Raises `RecordError` and OSError."""
    try:
        contents = form.decode(source)
    except (RecordError, OSError):
        raise
    except Exception as error:
        raise_of_signal(error)
        # A file may make a user-defined format's code fail in any way, but not ours.
        if form.name in BUILT_IN:
            raise
        raise RecordFormatError(
            source.name, f"damaged content in the format {form.name} ({error})"
        ) from error
    record = (
        contents if isinstance(contents, Entries) else contents.record(source, form)
    )
    if n_processes() == 1:
        return record  # a single process has no others to compare with
    fingerprint = form.fingerprint(source).hex()
    return with_parts(record, reading=replace(record.reading, fingerprint=fingerprint))


def write_record(
    form: Format,
    record: Entries,
    sink: Sink,
    options: WriteOptions,
    *,
    precision: RecordPrecision,
    progress: Progress | None = None,
) -> None:
    """Write ``record`` in a format, and check that the format omitted nothing."""
    contents = Contents(record, form, precision, progress)
    with StopsAsItself():
        form.encode(contents, sink, options)
    contents.check_complete()
    precision.warn_of_zeroed()


def formats() -> Iterator[Format]:
    """Return every format, user-defined ones first; built-in ones are imported here."""
    registered = _formats.entries.items()
    yield from (form for name, form in registered if name not in BUILT_IN)
    yield from map(format_named, BUILT_IN)


def format_named(name: str) -> Format:
    """Return the format called ``name``; ValueError lists the known ones."""
    if name not in _formats.entries:
        check_format_name(name)
        importlib.import_module(f".formats.{BUILT_IN[name].module}", __package__)
    return _formats.entries[name]


def disagreement(
    file: str, form: Format, *, compressed: bool
) -> tuple[str, str] | None:
    """Return content and name in words if ``file`` is named after another format.

    A name without a known suffix agrees with all formats.
    """
    expected = format_of_suffix(file)
    if expected is None:
        return None
    name, codec = expected
    if name in (form.name, form.named_as) and bool(codec) == compressed:
        return None
    # The zstd tool gives the name .mpk.zst to an .mpk file that it compresses whole.
    if name == "mpk.zst" and form.name == "mpk" and compressed:
        return None
    content = f"{form.name}, compressed as a whole" if compressed else form.name
    return content, f"{name}, compressed as {codec}" if codec else name


_formats: Registry[str, Format] = Registry()
