"""Sources of records: a path, a URL, an open file, bytes, another record."""

import io
import os
from dataclasses import replace
from typing import Any, BinaryIO, TypeAlias

from ..config.short_text import with_article
from ..config.storage.missing import missing_file
from .entries.encoder import Storable
from .entries.entries import Entries, is_checked, with_parts
from .errors import ForeignFileError
from .format import Format, disagreement, formats, read_record
from .io.pinned import check_sha256, pinned
from .io.remote.address import Address, is_url, local_or_url
from .io.remote.remote_source import RemoteSource
from .io.remote.stored_object import StoredObject
from .io.source import FileSource, MemorySource, Source
from .io.stream_source import StreamSource, name_of_stream, read_stream, text_mode
from .record_view import Branch, entries_of_branch
from .sharded.folder import is_record_folder
from .sharded.shard_index import INDEX
from .source_errors import (
    empty_source,
    folder_error,
    names_a_record,
    not_readable,
    unknown_content,
)

Readable: TypeAlias = (
    str
    | os.PathLike[str]
    | BinaryIO
    | bytes
    | bytearray
    | memoryview
    | Storable
    | Branch
)
"""A path, a URL, a binary file, bytes, a record or a part of one (``record.encoder``).
"""


def entries_in(
    file: Readable,
    *,
    verify: bool = True,
    map_file: bool | None = None,
    sha256: str | None = None,
) -> Entries:
    """Return the entries of ``file``, none of which is read yet.

    Raises `RecordError` for a damaged file or another SHA-256 than ``sha256``, and
    OSError for a missing file.
    """
    if isinstance(file, Storable | Branch):
        if sha256 is not None:
            raise _already_read(file)
        return file.flat() if isinstance(file, Storable) else entries_of_branch(file)
    if sha256 is not None:
        check_sha256(sha256)
    source = source_of(file, verify=verify, map_file=map_file)
    # Compared before the bytes are interpreted.
    return _read(source if sha256 is None else pinned(source, sha256), file)


def _already_read(record: object) -> ValueError:
    return ValueError(
        "sha256= is the digest of a file, and this is "
        f"{with_article(type(record).__name__)}, which was read already. Pass it "
        "when you open the file: burnish.open_record(file, sha256=...)."
    )


def source_of(file: Any, *, verify: bool, map_file: bool | None) -> Source:
    """Return the source of the bytes of ``file``, which are not read yet."""
    if isinstance(file, bytes | bytearray | memoryview):
        return MemorySource(file, verify=verify)
    if isinstance(file, str | os.PathLike):
        if is_url(file) and file.endswith("/"):
            file += INDEX
        place = local_or_url(file)
        if isinstance(place, Address):
            return RemoteSource(StoredObject(place), verify=verify)
        if os.path.isdir(place):
            if not is_record_folder(place):
                raise folder_error(place)
            place = os.path.join(place, INDEX)
        try:
            return FileSource(place, verify=verify, map_file=map_file)
        except FileNotFoundError as error:
            raise missing_file(place, names_a_record, "a record") from error
    if not hasattr(file, "read"):
        raise not_readable(file)
    if isinstance(file, io.TextIOBase):
        raise text_mode()
    if hasattr(file, "seekable") and file.seekable():
        return StreamSource(file, verify=verify)
    return MemorySource(
        read_stream(file),
        name=name_of_stream(file),
        verify=verify,
        data_beside=getattr(file, "data_beside", None),
    )


def _read(source: Source, file: object) -> Entries:
    form, content = _format_of(source)
    if isinstance(file, str | os.PathLike):
        _check_suffix(os.fspath(file), form, compressed=content is not source)
    try:
        record = read_record(form, content)
        if isinstance(source, RemoteSource):
            # All that was read so far must be of the same object.
            source.confirm()
        if isinstance(source, FileSource | RemoteSource) and not is_checked(record):
            source.confirm_every_read()
    except BaseException:
        source.close()
        raise
    return with_parts(
        record, reading=replace(record.reading, file=source.name, format=form.name)
    )


def _format_of(source: Source) -> tuple[Format, Source]:
    """Return the format of the content, and the content without its compression."""
    if not source.size:
        raise empty_source(source)
    form = recognized_format(source)
    if form is not None:
        return form, source
    from .io.compression import decompressed

    content = decompressed(source)
    form = None if content is None else recognized_format(content)
    if content is not None and form is not None:
        return form, content
    raise unknown_content(source, content)


def recognized_format(source: Source) -> Format | None:
    """Return the format whose files begin as ``source`` does; None if none does."""
    head = bytes(source.read(0, min(64, source.size)))
    return next((form for form in formats() if form.recognizes(head, source)), None)


def _check_suffix(path: Any, form: Format, *, compressed: bool) -> None:
    file = os.fsdecode(path)
    difference = disagreement(file, form, compressed=compressed)
    if difference is not None:
        content, name = difference
        raise ForeignFileError(
            file,
            f"content in the format {content}",
            f"{name}, as the name says",
            "Rename the file, or open it as a file object.",
        )
