"""RecordWriter: the format, compression and precision in which a record is written."""

import io
import math
import os
from collections.abc import Mapping
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from .. import __version__  # pyright: ignore[reportMissingImports]  # in src/burnish
from ..config.short_text import first_names, with_article
from ..config.spelling import nearest
from .entries.conventions import Convention, check_convention, convention_of
from .entries.encoder import Storable
from .entries.entries import (
    Entries,
    check_before_rewriting,
    library_part,
    with_parts,
)
from .entries.entry import Entry
from .entries.nodes import paths_of_plain_data
from .errors import RecordError
from .format import Format, WriteOptions, disagreement, format_named, write_record
from .format_names import (
    CODECS,
    check_format_name,
    format_of_suffix,
    suffix_of,
    suffixes,
)
from .header.file_index import FileIndex
from .header.metadata import combine_metadata
from .io.compression import Codec, codec_named, compressed_names
from .io.progress import Progress
from .io.save_handle import join_saves
from .io.sink import Destination, File, Sink, StreamSink, open_sink
from .nest import check_precision
from .precision import Precision, PrecisionLike, RecordPrecision
from .tensors.memory_order import KEY as ORDERS
from .tensors.memory_order import memory_order, stored_orders
from .writing.contents import Contents


class SaveOptions(TypedDict, total=False):
    """Options of a save."""

    precision: PrecisionLike
    """The precision of floating parameters; None leaves every value as it is."""
    recorder: "RecordWriter | str | None"
    """The recorder or the name of a preset; None: from the suffix."""
    metadata: Mapping[str, Any] | None
    """Plain data to store with the record, beside what it already has."""
    progress: Progress | None
    """Called with (bytes done, bytes in all, path of the entry); True: a line on
    stderr once it takes longer than a second."""
    group: Any
    """The `torch.distributed` group that writes a folder together; None: all."""


LIBRARY = f"burnish {__version__}"
"""The library and its version, as written into every file."""


@dataclass(frozen=True, slots=True)
class RecordWriter:
    """How records become bytes: a format, a compression, a precision.

    `Recorder` adds reading, which this file does not import.
    """

    format: str = "mpk"
    """"mpk", "json", "safetensors", "bpk", or the name of a registered format."""
    compression: str | None = None
    """"zst" or "gz", where the format can be compressed."""
    precision: PrecisionLike = None
    """The precision of floating parameters; None leaves every value as it is."""
    level: int | None = None
    """The level of the compression; None means its default."""
    payload: str | None = None
    """For JSON: "numbers" (the default) or "base64", which is faster."""
    block_sums: int | None = None
    """For "mpk": bytes of a tensor (1, 2 or 4 MiB) per checksum.

    With them, rows of it are read alone and verified; older readers refuse such files.
    """
    convention: Convention | None = None
    """The convention of a module's names and layouts; None: Burn's in .bpk alone."""

    def __post_init__(self) -> None:
        self._precision(None)
        if self.convention is not None:
            check_convention(self.convention)
        check_format_name(self.format)
        if self.compression is not None and not self._is_seekable_zstd():
            codec_named(self.compression, self.format)
        if self.level is not None and self.compression is None:
            raise ValueError(
                "level= is the level of compression=; pass compression= as well"
            )
        if self.block_sums is not None:
            _check_block_sums(self)

    def options(self) -> WriteOptions:
        """Return the options for the format itself."""
        return WriteOptions(
            level=self.level, payload=self.payload, block_sums=self.block_sums
        )

    def parts(self) -> tuple[Format, Codec | None]:
        """Return the format, and the codec around the whole file if there is one."""
        if self.compression is None:
            return format_named(self.format), None
        if self._is_seekable_zstd():
            return format_named("mpk.zst"), None
        return format_named(self.format), codec_named(self.compression, self.format)

    def _is_seekable_zstd(self) -> bool:
        """Return whether this is the format whose entries are compressed one by one."""
        return (self.format, self.compression) == ("mpk", "zst")

    def save(
        self,
        record: Storable,
        file: File,
        *,
        precision: PrecisionLike = None,
        metadata: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write ``record`` to ``file``; a failed save leaves a path as it was.

        ValueError for a path whose suffix belongs to another format than the
        recorder's.
        """
        self._check_name(file)
        writable = self.prepare(record, precision=precision, metadata=metadata)
        writable.save_after_others(file, progress)

    def dumps(
        self,
        record: Storable,
        *,
        precision: PrecisionLike = None,
        metadata: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> bytes:
        """Return ``record`` as bytes."""
        writable = self.prepare(record, precision=precision, metadata=metadata)
        return writable.dumps(progress)

    def prepare(
        self,
        record: Storable,
        *,
        precision: PrecisionLike = None,
        metadata: Mapping[str, Any] | None = None,
        note: str = "",
    ) -> "WritableRecord":
        """Return ``record`` with its file's metadata, checked, to be written later.

        It refers to the live tensors. ``note`` is added to errors to say where it
        belongs.
        """
        chosen = self._precision(precision)
        flat = _describe(record, chosen, metadata)
        self._check(flat, chosen)
        check_before_rewriting(flat)
        return WritableRecord(self, flat, chosen.of_record(flat), note)

    def _precision(self, precision: PrecisionLike) -> Precision:
        chosen = self.precision if precision is None else precision
        return _AS_IT_IS if chosen is None else Precision.of(chosen)

    def _check_name(self, file: File) -> None:
        """Raise ValueError for a name under which the file could not be opened."""
        if not isinstance(file, str | os.PathLike):
            return
        form, codec = self.parts()
        path = os.fsdecode(os.fspath(file))
        difference = disagreement(path, form, compressed=codec is not None)
        if difference is not None and form.is_writable:
            content, name = difference
            ending = form.suffixes[0] + (f".{codec.name}" if codec else "")
            raise ValueError(
                f"{path}: the name says {name}, but the recorder writes "
                f"{content}. Name the file *{ending}, or remove recorder=."
            )

    def _check(self, flat: Entries, precision: Precision) -> None:
        """Raise ValueError for content that these options cannot write."""
        form, _ = self.parts()
        if not form.is_writable:
            raise ValueError(
                f"the format {form.name!r} is read-only; write 'mpk' or 'safetensors'"
            )
        if flat.is_typed and not form.typed:
            plain_data = filter(None, paths_of_plain_data(flat.tree))
            more = first_names(plain_data, 3) or "fields and containers"
            raise ValueError(
                f"{form.name} holds only named tensors, but "
                f"{with_article(flat.type_name)} has {more}; write it as .mpk or .json"
            )
        if self.convention is not None:
            _check_convention(flat, self.convention)
        if flat.is_typed:
            check_precision(flat, precision)
        precision.warn_of_unmatched(flat)

    @property
    def written_convention(self) -> Convention:
        """Whose names and orders the tensors of a module are written with."""
        return self.convention or ("burn" if self.format == "bpk" else "torch")


def _check_convention(flat: Entries, chosen: Convention) -> None:
    """Raise ValueError for a record in another convention than requested."""
    convention = convention_of(flat)
    if chosen != convention:
        raise ValueError(
            f"convention={chosen!r}: the record has the names and orders of "
            f"{convention}, and only its module knows how they differ. Save the "
            "module: save_record(module, file, recorder=...)."
        )


@dataclass(frozen=True, slots=True)
class WritableRecord:
    """A checked record together with its writer, ready to be written."""

    writer: RecordWriter
    entries: Entries
    precision: RecordPrecision
    note: str = ""
    """Where the record belongs, added to its errors."""

    def save_after_others(
        self, file: Destination, progress: Progress | None = None
    ) -> bytes | None:
        """Write to ``file``, or return bytes if that is omitted.

        Running background saves to ``file`` end first.
        """
        if file is ...:
            return self.dumps(progress)
        if isinstance(file, str | os.PathLike):
            # Of two saves to one file, the later one determines its final content.
            join_saves(file)
        self.save(file, progress)
        return None

    def dumps(self, progress: Progress | None = None) -> bytes:
        """Return the content of a file."""
        memory = io.BytesIO()
        self.write(StreamSink(memory), progress)
        return memory.getvalue()

    def save(self, file: File, progress: Progress | None = None) -> None:
        """Write to ``file``; a failed save leaves a path as it was."""
        try:
            with open_sink(file, self._about_size) as sink:
                self.write(sink, progress)
        except RecordError as error:
            if self.note:
                error.add_note(self.note)
            raise

    def _about_size(self) -> int:
        """Return the approximate length of the file."""
        entries = self.entries.entries()
        dtypes = self.precision.stored_dtypes(entries)
        sizes = (
            math.prod(entry.shape) * dtype.itemsize
            for entry, dtype in zip(entries, dtypes, strict=True)
        )
        return sum(sizes) + _AROUND * (len(entries) + 1)

    def write(self, sink: Sink, progress: Progress | None = None) -> None:
        """Write to ``sink``, converting values while writing."""
        form, codec = self.writer.parts()
        with ExitStack() as stack:
            if codec is not None:
                sink = stack.enter_context(codec.compressed(sink, self.writer.level))
            write_record(
                form,
                self.entries,
                sink,
                self.writer.options(),
                precision=self.precision,
                progress=progress,
            )

    def contents(self) -> Contents:
        """Return what its format would be given, to be hashed."""
        form, _ = self.writer.parts()
        return Contents(self.entries, form, self.precision, None)

    def write_index(self, contents: Contents, index: FileIndex, file: File) -> None:
        """Write ``contents`` to ``file``; its payloads are stored beside it."""
        form, _ = self.writer.parts()
        options = self.writer.options()
        with open_sink(file) as sink:
            form.encode_index(contents, index, sink, options)

    def part(self, entries: list[Entry]) -> "WritableRecord":
        """Return some of the entries as a record with no data of other entries."""
        ours = {"library": LIBRARY, "type": self.entries.type_name}
        part = with_parts(
            self.entries, entries=entries, tree={}, metadata={"burnish": ours}
        )
        return replace(self, entries=part)

    def with_entries(self, entries: list[Entry]) -> "WritableRecord":
        """Return the same record over ``entries``, converted to what the file has."""
        flat = self.entries
        # The owner of the metadata may change the dict later.
        copy = with_parts(flat, entries=entries, metadata=deepcopy(flat.metadata))
        return WritableRecord(self.writer, copy, _AS_IT_IS.of_record(copy), self.note)


def _check_block_sums(writer: RecordWriter) -> None:
    if (writer.format, writer.compression) != ("mpk", None):
        name = ".".join(filter(None, (writer.format, writer.compression)))
        raise ValueError(
            f"block_sums= is for 'mpk' without compression, got {name!r}: 'mpk.zst' "
            "has checksums of frames, and other formats are read whole"
        )
    if writer.block_sums not in (1 << 20, 2 << 20, 4 << 20):
        raise ValueError(
            "block_sums must be 1048576, 2097152 or 4194304 bytes, got "
            f"{writer.block_sums!r:.40}"
        )


_AS_IT_IS = Precision()
_AROUND = 512
"""Maximal bytes that a file may have around each payload."""

PRESETS = {
    "default": RecordWriter(),
    "compact": RecordWriter(compression="zst", precision="half"),
    "debug": RecordWriter(format="json"),
}
"""The presets ``recorder="compact"`` and so on; `Recorder` has each by name."""


def writer_for(
    file: Destination, recorder: RecordWriter | str | None = None
) -> RecordWriter:
    """Return the writer of ``file``: ``recorder``, or by its suffix.

    Raises ValueError for an unknown suffix or one of another format, and TypeError for
    None.
    """
    if file is None:  # pyright: ignore[reportUnnecessaryComparison]  # a usual mistake
        raise TypeError("file is None; leave it out to get the record as bytes")
    if recorder is not None:
        writer = _writer_named(recorder)
        if file is not ...:
            writer._check_name(file)  # pyright: ignore[reportPrivateUsage]  # a part of it
        return writer
    if isinstance(file, str | os.PathLike):
        return writer_of_suffix(os.fspath(file))
    return PRESETS["default"]


def _writer_named(recorder: RecordWriter | str) -> RecordWriter:
    if isinstance(recorder, RecordWriter):
        return recorder
    if isinstance(recorder, str) and recorder.lower() in PRESETS:  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        return PRESETS[recorder.lower()]
    raise ValueError(
        f"recorder={recorder!r} is neither a Recorder nor one of {', '.join(PRESETS)}"
    )


def _describe(
    record: Storable, precision: Precision, metadata: Mapping[str, Any] | None
) -> Entries:
    """Return the record with its file's metadata."""
    if not isinstance(record, Storable):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        name = type(record).__qualname__
        raise TypeError(
            f"a recorder writes records, got {with_article(name)}. A module is "
            "written by burnish.save_record(module, file, recorder=...); use "
            "burnish.Record.from_state_dict for a dict of tensors, and "
            "open_record for a part of a record."
        )
    flat = record.flat()
    metadata = combine_metadata(flat.metadata, metadata)
    ours = dict(metadata.pop("burnish", {}))
    # The precision of the file that the record was read from does not apply to the next
    # one.
    ours.pop("precision", None)
    ours = {"library": LIBRARY, "type": flat.type_name, **ours}
    if versions := {p: v for p, v in flat.class_versions.items() if v > 1}:
        ours["class_versions"] = versions
    else:
        ours.pop("class_versions", None)
    if (precision_name := precision.describe(flat)) is not None:
        ours["precision"] = precision_name
    # A module has its own memory for its tensors, but not for extra state.
    free = [e for e in flat.entries() if flat.is_typed or e.kind == "extra"]
    orders = {e.path: order for e in free if (order := memory_order(e.source))}
    if orders:
        ours[ORDERS] = {**stored_orders(library_part(flat.metadata)), **orders}
    return with_parts(flat, metadata={"burnish": ours, **metadata})


def writer_of_suffix(file: str) -> RecordWriter:
    """Return the writer for the suffix of this name.

    ValueError for no suffix, an unknown one, or one that is only read; also for a link
    to a file whose name has another format's suffix, which would no longer open.
    """
    file = os.fsdecode(file)
    content = format_of_suffix(file)
    if content is None:
        raise ValueError(
            f"{no_format_in(file)} With recorder=, any file name is accepted."
        )
    if os.path.islink(file):
        place = os.path.realpath(file)
        if format_of_suffix(place) not in (None, content):
            raise ValueError(
                f"{file}: a link to {place}, whose suffix is that of another "
                "format. Choose another file name, or remove the link."
            )
    name, codec = content
    if not format_named(name).is_writable:
        stem = file[: -len(suffix_of(file.lower(), suffixes()))]
        raise ValueError(
            f"{file}: such files are read-only. Write {stem + '.mpk'!r}, or "
            f"{stem + '.safetensors'!r} for other libraries. For a torch file: "
            "torch.save(record.to_state_dict(), file)."
        )
    if name == "mpk.zst" and codec is None:
        return RecordWriter("mpk", "zst")
    return RecordWriter(name, codec)


def no_format_in(file: str) -> str:
    """Return advice for a name without a format's suffix."""
    return (
        f"{file}: the suffix must be that of a format. Write "
        f"{_proposal(file)!r}; supported endings: {_writable_suffixes()}."
    )


def _writable_suffixes() -> str:
    """Return all suffixes that can be written."""
    compressed = (f".{name}" for name in compressed_names())
    return ", ".join(sorted([*_endings_to_write(), *compressed]))


def _endings_to_write() -> list[str]:
    return [e for e, name in suffixes().items() if format_named(name).is_writable]


def _proposal(file: str) -> str:
    """Return a name like ``file`` with a format's suffix."""
    if file.endswith(("/", os.sep)):
        return f"{file}net.mpk"
    stem, dot, ending = file.rpartition(".")
    if dot and ending in CODECS:
        return f"{stem}.mpk.{ending}"
    has_stem = bool(os.path.basename(stem))
    meant = nearest(f".{ending.lower()}", _endings_to_write()) if has_stem else None
    return f"{file}.mpk" if meant is None else f"{stem}{meant}"
