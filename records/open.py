"""open_record: a file of any format as a lazy record."""

import dataclasses
import os
import shlex
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import torch

from ..config.patterns import Patterns
from ..config.process.interrupts import raise_of_signal
from ..config.process.log import LOG
from .calls import explain_calls
from .entries.conventions import Convention, check_convention, with_convention
from .entries.encoder import Storable
from .entries.entries import announce_entries, check_gaps, paths_in, with_parts
from .entries.entry import Entry, Payload
from .entries.renaming import Renames, rename_record
from .errors import MissingChecksumError
from .flat_record import FlatRecord, flat_record
from .io.progress import Progress, Tally, progress_call
from .io.source import Maps, digest_of_bytes
from .nest import is_nest
from .readable import Readable, entries_in, recognized_format, source_of
from .tensors.memory import snapshot, values_of

if TYPE_CHECKING:
    from .precision import RecordPrecision


@explain_calls("burnish.open_record(file{})", "read")
def open_record(
    file: Readable,
    *,
    verify: bool = True,
    sha256: str | None = None,
    mmap: bool | None = None,
    only: Patterns | None = None,
    exclude: Patterns | None = None,
    rename: Renames | None = None,
    dtype: "torch.dtype | Literal['stored'] | None" = None,
    device: torch.device | str | int | None = None,
    hyperparameters: Literal["compare", "ignore"] | None = None,
    convention: Convention | None = None,
    progress: Progress | None = None,
) -> FlatRecord:
    """Return the record in ``file``, lazily: a tensor is read on access.

    It is a context manager, and accepted wherever a file is. The format is recognized
    by the content. ``verify`` compares what is read with its checksums, which find
    accidents; ``sha256`` is the digest of the whole file as its publisher states it (64
    hexadecimal digits), compared before anything is used. ``mmap`` maps the file (None:
    unless it is on a network file system). ``only`` and ``exclude`` are patterns of the
    names after ``rename``. ``dtype`` is that of floating parameters ("stored": the
    file's own), ``device`` that of all tensors. With ``hyperparameters="ignore"`` a
    module need not match those in the file. ``convention`` is the file's convention for
    names and layouts of tensors, "torch" or "burn" (None: Burn's in `.bpk` and in
    Burn's `.mpk`, unless they declare torch's). ``progress`` is called by code that
    loads the whole file, with (bytes done, total bytes, path of the entry); True: a
    line on stderr once that takes longer than a second.

    Raises `RecordError` for a damaged file, OSError for a missing one, ValueError for a
    device that does not exist.
    """
    if hyperparameters not in (None, "compare", "ignore"):
        raise ValueError(
            "hyperparameters must be 'compare' or 'ignore', got "
            f"{hyperparameters!r:.60}"
        )
    progress_call(progress)
    record = flat_record(entries_in(file, verify=verify, map_file=mmap, sha256=sha256))
    if convention is not None:
        check_convention(convention)
        record = with_convention(record, convention)
    before = record.reading
    renamed = dict(before.renamed)
    if rename is not None:
        record, renamed = rename_record(record, rename, before.file)
    left_out = before.left_out
    if only is not None or exclude is not None:
        paths = paths_in(record)
        record = _chosen(record, only, exclude, is_renamed=rename is not None)
        left_out |= paths - paths_in(record)
    if dtype is not None:
        _check_dtype(dtype)
    target = _usable(device) if device is not None else before.device
    target_dtype = dtype if dtype is not None else before.dtype
    if (target_dtype is not None and target_dtype != "stored") or target is not None:
        record = _converted(record, target_dtype, target)
    reading = dataclasses.replace(
        before,
        dtype=target_dtype,
        device=target,
        only=only if only is not None else before.only,
        exclude=exclude if exclude is not None else before.exclude,
        left_out=left_out,
        hyperparameters=hyperparameters or before.hyperparameters,
        renamed=renamed,
        progress=before.progress if progress is None else progress,
    )
    # Entries are not counted, because a file's entries are created on request.
    LOG.debug("%s: opened as %s, verify=%s", before.file, before.format, verify)
    return with_parts(record, reading=reading)


@explain_calls("burnish.verify_file(file{})", "read", is_home=False)
def verify_file(
    file: Readable,
    *,
    strict: bool = False,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> "Verified":
    """Compare every byte of ``file`` with its checksums, without building anything.

    Raises `RecordError` that names the damaged entry. A file without checksums gives
    ``verified == "none"``, or if ``strict`` a `RecordChecksumError`. ``sha256`` and
    ``progress`` are those of `open_record`.
    """
    maps = Maps()
    try:
        record = open_record(file, sha256=sha256, progress=progress)
    except IsADirectoryError as error:
        command = f"burnish verify {shlex.quote(str(file))}"
        raise IsADirectoryError(
            f"{error}. To check every file in the folder: {command}"
        ) from None
    # The caller closes a record that was passed open.
    with nullcontext() if isinstance(file, Storable) else record:
        if strict and record.verified in ("none", "live"):
            raise MissingChecksumError(record.reading.file)
        announce_entries(record, record.entries(), in_blocks=True)
        check_gaps(record, maps)
        size = sum(entry.nbytes for entry in record.entries())
        tally = Tally(record.reading.progress, [size])
        for entry in record.entries():
            # Values are neither kept nor read whole: a tensor may be larger than
            # memory.
            for block in entry.blocks():
                tally.add(block.nbytes, entry.path)
        sums = record.verified
    has_sums = sums in ("touched", "all")
    checked: Literal["all", "none"] = "all" if has_sums else "none"
    return Verified(record.reading.file, len(record.entries()), size, checked)


def digest_of(file: str | os.PathLike[str] | BinaryIO) -> str:
    """Return a digest that identifies the content of ``file``, in hexadecimal.

    Of files whose checksums cover every byte, only those are read.
    """
    source = source_of(file, verify=True, map_file=False)
    try:
        form = recognized_format(source)
        digest = digest_of_bytes(source) if form is None else form.digest(source)
    finally:
        source.close()
    return digest.hex()


@dataclasses.dataclass(frozen=True, slots=True)
class Verified:
    """The result of reading a file to its end."""

    file: str
    n_entries: int
    nbytes: int
    """The total bytes of all entries, uncompressed."""
    verified: Literal["all", "none"]
    """What was compared with checksums: "all" or "none".

    "none" means that not every entry has a checksum, or that the record was opened with
    ``verify=False``; only the bytes around the values were checked.
    """


def _chosen(
    record: FlatRecord,
    only: Patterns | None,
    exclude: Patterns | None,
    *,
    is_renamed: bool,
) -> FlatRecord:
    try:
        return record.select(only=only, exclude=exclude)
    except ValueError as error:
        if not is_renamed:
            raise
        raise ValueError(f"{error} Patterns match the names after rename=.") from None


def _check_dtype(dtype: object) -> None:
    from .precision import NAMED, Precision, precision_hint

    if dtype == "stored":
        return
    try:
        Precision(param=dtype)  # type: ignore[arg-type]  # users pass anything
    except ValueError as error:
        is_floating = isinstance(dtype, torch.dtype) and dtype.is_floating_point
        reason = ", whose values are not whole bytes" if is_floating else ""
        raise ValueError(
            f"dtype must be a floating torch dtype, one of {', '.join(NAMED)}, or "
            f"'stored' for the file's own, got {dtype!r:.60}{reason}."
            f"{precision_hint(dtype)} If it is left out, tensors get the dtypes of "
            "the module that they are loaded into."
        ) from error


def _usable(device: torch.device | str | int) -> torch.device:
    """Return the device, after creating a tensor on it to check that it exists."""
    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    # Each kind of device raises its own exception if it is absent.
    except Exception as error:
        raise_of_signal(error)
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"device={str(device)!r} cannot be used here: {reason}. Remove "
            "device= to load the tensors into memory, or to the module's device."
        ) from error
    return target


class _Converted:
    """A payload in another dtype or on another device, converted when it is read."""

    def __init__(
        self, entry: Entry, dtype: torch.dtype, device: torch.device | None
    ) -> None:
        self._entry, self._dtype, self._device = entry, dtype, device

    @property
    def origin(self) -> object:
        """The payload that is converted."""
        return self._entry.source

    @property
    def is_live(self) -> bool:
        """Whether the values are converted from a live tensor."""
        return self._entry.is_live

    def load(self, maps: Maps | None = None) -> torch.Tensor:
        """Return the converted tensor; a `PrecisionError` names the entry."""
        entry = self._entry
        values = tensor = values_of(entry.read(maps), entry.path).detach()
        if values.dtype is not self._dtype:
            from .tensors.conversion import convert_loaded

            tensor = torch.empty(values.shape, dtype=self._dtype, device=values.device)
            convert_loaded(values, tensor, entry.path)
        if self._device is not None:
            tensor = tensor.to(self._device)
        # Values that needed no conversion may be those of a live tensor.
        is_live = tensor is values and entry.is_live
        return snapshot(values, entry.path) if is_live else tensor


def _converted(
    record: FlatRecord, dtype: Any, device: torch.device | None
) -> FlatRecord:
    from .precision import Precision

    precision = Precision(param=None if dtype == "stored" else dtype).of_record(record)
    if dtype is not None and dtype != "stored":
        _check_parameters(record, precision, dtype)
    entries: list[Entry] = []
    for entry in record.entries():
        target = precision.stored_dtype(entry)
        if target is entry.dtype and device is None:
            entries.append(entry)
            continue
        source: Payload = _Converted(entry, target, device)
        entries.append(dataclasses.replace(entry, dtype=target, source=source))
    return with_parts(record, entries=entries)


def _check_parameters(
    record: FlatRecord, precision: "RecordPrecision", dtype: torch.dtype
) -> None:
    """Raise ValueError if ``dtype`` applies to no tensor of plain data.

    None of them is marked as a parameter, so all would stay as they are.
    """
    if not is_nest(record):
        return
    tensors = [entry for entry in record.entries() if entry.dtype.is_floating_point]
    are_others = tensors and all(entry.dtype is not dtype for entry in tensors)
    if not are_others:
        return
    if all(precision.stored_dtype(entry) is entry.dtype for entry in tensors):
        raise ValueError(
            f"dtype= applies to parameters, but this {record.type_name} does not "
            f"say which of its tensors are parameters ({record.reading.file}). "
            "Remove dtype=, and convert the tensors that you need from "
            "open_record(file).to_data()."
        )
