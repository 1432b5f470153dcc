"""`.pt .pth .bin .ckpt`: torch's own files, only read, never unpickled freely.

Files of torch before 1.6 and those inside a compressed file are read into memory.
"""

import io
import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import torch

from ...config.process.interrupts import raise_of_signal
from ...config.process.user_warning import warn_user
from ..entries.entries import Entries, set_source
from ..entries.entry import Entry
from ..entries.optimizer_states import optimizers_in, subscripts
from ..entries.state_dict import record_of_state_dict
from ..entries.state_dict_search import names_beside, state_dict_in
from ..errors import TRUNCATED, ForeignFileError, RecordError, RecordFormatError
from ..format import Format, WriteOptions
from ..io.foreign import foreign_archive
from ..io.sink import Sink
from ..io.source import FileSource, Source
from ..tensors.dtypes import NAME_OF
from ..writing.contents import Contents
from .archive_sums import UnreadSums, compare_sums, is_of_storage, read_member
from .mapped_tensor import MappedTensor

_SAFE = (2, 10)
"""From this version of torch on, a hostile file cannot corrupt memory either."""

_ZIP = b"PK\x03\x04"
_LEGACY = b"\x80\x02"
_FREE = 48 << 20
_GLOBAL = re.compile(r"GLOBAL (\S+) was not an allowed global")
_BLOCKED = re.compile(r"unsupported GLOBAL (\S+) whose module")
"""Modules that torch never pickles anything from: posix, nt, subprocess."""


class TorchArchive(Format):
    """Weights from elsewhere: a state dict, wherever in the file it is."""

    name = "torch"
    suffixes = (".pt", ".pth", ".bin", ".ckpt")
    is_writable = False

    def recognizes(self, head: bytes, source: Source) -> bool:
        """Return whether this is a zip archive, or torch's older pickle."""
        return head.startswith((_ZIP, _LEGACY))

    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        """Raise: pickled files are only read."""
        raise RecordError("torch files are read-only; write .mpk or .safetensors")

    def decode(self, source: Source) -> Entries:
        """Return the state dict, and the plain data beside it.

        Raises `RecordFormatError` for other objects, and for two state dicts neither of
        which is the model's.
        """
        _warn_of_old_torch()
        try:
            content, is_mapped = _load(source)
            read = f"torch.load({source.name!r}, weights_only=True)"
            state_dict = state_dict_in(content, source.name, read)
            record = record_of_state_dict(state_dict)
            record.metadata.update(_lightning_metadata(content, source.name))
        except (TypeError, RecursionError) as error:
            raise ForeignFileError(
                source.name, f"a state dict with other content: {error}"
            ) from error
        for entry in record.entries():
            _check(entry, source.name)
            if is_mapped and isinstance(source, FileSource):
                entry.source = MappedTensor(entry.tensor(), source)
        beside = [*names_beside(content, state_dict)]
        set_source(
            record,
            source,
            has_sums=False,
            beside=beside,
            optimizers=[read + subscripts(keys) for keys, _ in optimizers_in(content)],
            check_before_rewriting=UnreadSums(source) if is_mapped else None,
        )
        return record


def _warn_of_old_torch() -> None:
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < _SAFE:
        warn_user(
            f"torch {torch.__version__} is vulnerable to hostile files in its own "
            "format; read only files that you trust, or upgrade to torch "
            f"{_SAFE[0]}.{_SAFE[1]}",
        )


def _load(source: Source) -> tuple[Any, bool]:
    """Return the content of the file, and whether its tensors are pages of it."""
    is_zip = bytes(source.read(0, min(4, source.size))) == _ZIP
    try:
        file, is_mapped = _opened(source, is_zip=is_zip)
        if is_zip:
            _check_archive(file, source, is_mapped=is_mapped)
        else:
            _check_pickle(bytes(source.read(0, source.size)), source)
        with warnings.catch_warnings():
            # A warning about its own deprecated storages, which files of that age
            # consist of.
            warnings.simplefilter("ignore")
            content = torch.load(
                file, map_location="cpu", weights_only=True, mmap=is_mapped
            )
        return content, is_mapped
    except RecordError:
        raise
    # A damaged pickle may raise anything.
    except Exception as error:
        raise_of_signal(error)
        if is_of_storage(error):
            raise
        raise _explained(error, source.name) from error


def _opened(source: Source, *, is_zip: bool) -> tuple[Any, bool]:
    """Return the argument for torch.load, and whether it may map it."""
    if isinstance(source, FileSource):
        return source.name, is_zip and source.may_map
    return io.BytesIO(source.read(0, source.size)), False


def _check_archive(file: Any, source: Source, *, is_mapped: bool) -> None:
    """Refuse an archive with compressed members; torch compresses nothing.

    Members in memory are compared with their checksums; mapped pages are read later.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if any("/code/" in m.filename for m in members):
            raise ForeignFileError(source.name, *_TORCHSCRIPT)
        names = [m.filename for m in members]
        if not any(name.endswith("data.pkl") for name in names):
            content, cure = foreign_archive(names)
            raise ForeignFileError(source.name, content, "a torch file", cure)
        if any(m.compress_type != zipfile.ZIP_STORED for m in members):
            raise ForeignFileError(
                source.name, "a compressed archive, which torch does not write"
            )
        if sum(m.file_size for m in members) > source.size:
            raise RecordFormatError(source.name, "an archive whose members overlap")
        for member in members:
            if member.filename.endswith("data.pkl"):
                _check_pickle(read_member(archive, member), source)
        if source.verify and not is_mapped:
            compare_sums(archive, source.name)
    if not isinstance(file, str):
        file.seek(0)


def _check_pickle(data: bytes, source: Source) -> None:
    """Refuse a pickle of so many small objects that they would fill the memory."""
    lists = sum(map(data.count, (b"]", b"}", b"\x85", b"\x86", b"\x87")))
    if 64 * lists + 232 * data.count(b")R") > _FREE + 2 * source.size:
        raise ForeignFileError(
            source.name, "a pickle of too many objects for its length"
        )


_TORCHSCRIPT = (
    "a TorchScript program",
    "a state dict",
    "Open it with torch.jit.load and save its state_dict().",
)


def _explained(error: Exception, file: str) -> RecordFormatError:
    """Return the error for an archive that torch.load refuses."""
    foreign = _foreign_content(str(error))
    if foreign is not None:
        return ForeignFileError(file, *foreign)
    text = str(error)
    if "not a zip file" in text:
        # Its directory is at its end.
        description = "a damaged torch file, without its end"
        return RecordFormatError(file, description, "", TRUNCATED)
    description = f"a damaged torch file ({type(error).__name__}: {text[:120]})"
    return RecordFormatError(file, description)


def _foreign_content(text: str) -> tuple[str, str, str] | None:
    """Return what the file is if it is not damaged, with advice; None for damage."""
    refused = _GLOBAL.search(text)
    if refused is not None:
        return (
            f"an object of the class {refused[1]}, which is code and not data",
            "tensors and plain data",
            "If you trust the file, permit the class by "
            "torch.serialization.add_safe_globals([...]), or read all of it by "
            "torch.load(file, weights_only=False), and save its state dict: "
            "burnish.save_record(state_dict, 'new.mpk').",
        )
    blocked = _BLOCKED.search(text)
    if blocked is not None:
        return (
            f"a pickle that calls {blocked[1]} when it is read",
            "tensors and plain data",
            "No file of weights needs that: do not read it in any other way.",
        )
    if "Unsupported operand" in text:
        return (
            "a pickle of a protocol above 3, which torch reads only as code",
            "protocol 2, torch's own choice",
            "If you trust the file, load it with torch.load(..., weights_only=False) "
            "and save it with torch.save, or its state_dict() with save_record.",
        )
    if "TorchScript" in text:
        return _TORCHSCRIPT
    if "'torch.storage.UntypedStorage' has no attribute 'dtype'" in text:
        return (
            "torch's legacy file format with a newer dtype, which torch writes "
            "but cannot read",
            "",
            "Save it again without _use_new_zipfile_serialization=False.",
        )
    if "Invalid magic number" in text:
        return (
            "a pickle from another program",
            "a torch file",
            "If you trust it, load it with the program that wrote it, and save its "
            "tensors with burnish.save_record(state_dict, file).",
        )
    return None


def _lightning_metadata(content: object, file: str) -> dict[str, Any]:
    """Return metadata about the module of a Lightning checkpoint.

    That is the blueprint, if one built it.
    """
    options = content.get("hyper_parameters") if isinstance(content, Mapping) else None
    text = options.get("burnish_blueprint") if isinstance(options, Mapping) else None
    if not isinstance(text, str):
        return {}
    try:
        blueprint: Any = json.loads(text)
        names = {key: blueprint[key] for key in ("__module__", "__name__")}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordFormatError(file, f"not a blueprint: {error!s:.80}") from error
    return {"burnish": {"hparams": {**names, "__blueprint__": blueprint}}}


def _check(entry: Entry, file: str) -> None:
    tensor = entry.tensor()
    if tensor.is_meta:
        raise ForeignFileError(
            file,
            f"{entry.path!r:.80}, a tensor on the meta device: its values are not in "
            "the file",
            "tensors with values",
            "Save the module again once its weights are loaded.",
        )
    if tensor.layout is not torch.strided or tensor.dtype not in NAME_OF:
        raise ForeignFileError(
            file,
            f"{entry.path!r:.80}, a tensor of {tensor.dtype}, {tensor.layout}",
            "a dense tensor of whole bytes",
            f"Remove it from torch.load({file!r}, weights_only=True), or make it "
            "dense, and pass that to burnish.Record.from_state_dict.",
        )
    n_spanned = tensor.storage_offset() + 1
    n_spanned += sum(
        (n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True)
    )
    if (
        tensor.numel()
        and n_spanned * tensor.itemsize > tensor.untyped_storage().nbytes()
    ):
        raise RecordFormatError(file, f"{entry.path!r:.80} reaches beyond its memory")


TorchArchive.register()
