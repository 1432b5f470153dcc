"""`save_pretrained` and `from_pretrained`: modules in the ecosystem's folder layout."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

import torch
from torch import nn

from ...config.patterns import Patterns
from ...config.storage.replacement import new_folder
from ...records.calls import explain_calls
from ...records.entries.entries import library_part, with_parts
from ...records.entries.renaming import Renames
from ...records.flat_record import FlatRecord
from ...records.header.metadata import combine_metadata
from ...records.io.progress import Progress
from ...records.open import open_record
from ...records.precision import PrecisionLike
from ...records.recorder import Recorder
from ..errors import HyperparameterError
from ..hyperparameters.hparams_node import SAVE
from ..hyperparameters.reader import planned
from ..hyperparameters.structure import note_of_changes
from ..hyperparameters.writer import get_hparams
from ..modules.module_argument import check_module
from ..modules.tree import places_of, unwrapped
from ..persistence.loading import from_record
from ..persistence.saving import into_record
from ..state.uninitialized.factories import arguments_go_to_file
from .pretrained_folder import (
    MPK,
    SAFETENSORS,
    FolderContent,
    digest,
    read_folder,
    read_generation,
    remove_others,
    write_config,
    write_generation,
)
from .rebuilding import check_rebuilds
from .shards import INDEX, entries_by_shard, only_writer, size_of, write_shards

M = TypeVar("M", bound=nn.Module)


class FolderOptions(TypedDict, total=False):
    """How a module is saved in a folder."""

    format: Literal["safetensors", "mpk"]
    precision: PrecisionLike
    max_shard_size: int | str
    metadata: Mapping[str, Any] | None
    progress: Progress | None


class ReadOptions(TypedDict, total=False):
    """How weights are read: the options of `open_record`."""

    verify: bool
    mmap: bool | None
    only: Patterns | None
    exclude: Patterns | None
    rename: Renames | None
    dtype: torch.dtype | Literal["stored"] | None
    device: torch.device | str | int | None
    hyperparameters: Literal["compare", "ignore"] | None


class LoadOptions(ReadOptions, total=False):
    """How a folder is read, and which differences of the module are allowed."""

    strict: bool
    allow_missing: Patterns | None
    allow_unexpected: Patterns | None
    allow_empty: bool


@explain_calls("burnish.save_pretrained(module, folder{})", "write")
def save_pretrained(
    module: nn.Module,
    folder: str | os.PathLike[str],
    *,
    format: Literal["safetensors", "mpk"] = "safetensors",
    precision: PrecisionLike = None,
    max_shard_size: int | str = "5GB",
    metadata: Mapping[str, object] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write ``module`` into ``folder``: `config.json` and `model.safetensors`.

    IDs, ties and checksums are in the weights' metadata; over ``max_shard_size`` there
    are several files and an index. Other files in the folder are kept. Readers see the
    old module or the new one. Raises `HyperparameterError` or TypeError, before
    anything is written, for a module that its hyperparameters cannot rebuild.
    """
    if format not in ("safetensors", "mpk"):
        raise ValueError(f"format must be 'safetensors' or 'mpk', got {format!r}")
    check_module(module, "save_pretrained")
    most = size_of(max_shard_size)
    hparams = get_hparams(module)
    check_rebuilds(module, hparams)
    hparams.update(note_of_changes(unwrapped(module), places_of(module)))
    record = into_record(module)
    ours = {**library_part(record.metadata), "hparams": hparams}
    record = with_parts(
        record,
        metadata=combine_metadata({**record.metadata, "burnish": ours}, metadata),
    )
    path = os.path.realpath(os.fsdecode(folder))
    with new_folder(path), only_writer(path):
        shards = (
            entries_by_shard(record, most, precision) if format == "safetensors" else []
        )
        if len(shards) > 1:
            files = write_shards(
                record, shards, path, precision=precision, progress=progress
            )
            current_files = {INDEX, *files}
        else:
            name = SAFETENSORS if format == "safetensors" else MPK
            writer = Recorder(format, precision=precision)
            writer.save(record, os.path.join(path, name), progress=progress)
            current_files = {name}
        write_config(path, _config(module, hparams))
        _write_generation(path, unwrapped(module))
        remove_others(path, current_files)


@overload
def from_pretrained(
    folder: str | os.PathLike[str],
    cls: type[M],
    *,
    strict: bool = True,
    allow_missing: Patterns | None = None,
    allow_unexpected: Patterns | None = None,
    allow_empty: bool = False,
    **reading: Unpack[ReadOptions],
) -> M: ...
@overload
def from_pretrained(
    folder: str | os.PathLike[str],
    cls: None = None,
    *,
    strict: bool = True,
    allow_missing: Patterns | None = None,
    allow_unexpected: Patterns | None = None,
    allow_empty: bool = False,
    **reading: Unpack[ReadOptions],
) -> nn.Module: ...
@explain_calls(
    "burnish.from_pretrained(folder, Net{})",
    "read",
    also=open_record,
    cure=arguments_go_to_file,
    is_home=False,
)
def from_pretrained(
    folder: str | os.PathLike[str],
    cls: type[nn.Module] | None = None,
    *,
    strict: bool = True,
    allow_missing: Patterns | None = None,
    allow_unexpected: Patterns | None = None,
    allow_empty: bool = False,
    **reading: Any,
) -> nn.Module:
    """Return the module in ``folder``, built without initialization and filled.

    Without ``cls`` the class is the known one that `config.json` names; if given, it is
    trusted. Folders of transformers are read too. ``reading`` are the options of
    `open_record` (``verify``, ``dtype``, ``device``, ...). Raises the errors of
    `from_record` and `from_hyperparameters`.
    """
    if isinstance(folder, type):
        raise TypeError(
            f"from_pretrained: the first argument is the class {folder.__qualname__}, "
            "expected a folder, and then the class: "
            f"from_pretrained('folder', {folder.__qualname__})"
        )
    path = os.fsdecode(folder)
    early = {k: reading.pop(k) for k in ("verify", "mmap") if k in reading}
    content = read_folder(path, **early)
    # After a manual edit, config.json determines the module.
    content = replace(content, record=_of_config(content))
    if content.is_ours or not _is_of_transformers(content, cls):
        build = _plan_build(content, cls, path)
        record = open_record(content.record, **reading)
        module: nn.Module = from_record(
            build,
            record,
            strict=strict,
            allow_missing=allow_missing,
            allow_unexpected=allow_unexpected,
            allow_empty=allow_empty,
        )
    else:
        from .transformers_folder import model_in

        module = model_in(
            content,
            cls,
            strict=strict,
            allow_missing=allow_missing,
            allow_unexpected=allow_unexpected,
            allow_empty=allow_empty,
            **reading,
        )
    _read_generation(path, module)
    return module


def _write_generation(folder: str, module: nn.Module) -> None:
    """Write a transformers model's generation config where that library expects it."""
    if hasattr(type(module), "config_class"):
        from .transformers_folder import generation_of

        text = generation_of(module)
        if text is not None:
            write_generation(folder, text)


def _read_generation(folder: str, module: nn.Module) -> None:
    if hasattr(type(module), "config_class"):
        generation_config = read_generation(folder)
        if generation_config is not None:
            from .transformers_folder import set_generation

            set_generation(module, generation_config)


def _of_config(content: FolderContent) -> FlatRecord:
    """Return the weights for the module in `config.json`, even after an edit."""
    ours = library_part(content.record.metadata)
    if not ours:
        return content.record
    section = {k: v for k, v in ours.items() if k != "hparams"}
    if content.is_ours:
        section["hparams"] = {k: v for k, v in content.config.items() if k != SAVE}
    return with_parts(
        content.record, metadata={**content.record.metadata, "burnish": section}
    )


def _plan_build(
    content: FolderContent, cls: type[nn.Module] | None, folder: str
) -> Any:
    hparams = {k: v for k, v in content.config.items() if k != SAVE}
    try:
        return planned(hparams, cls)
    except HyperparameterError as error:
        raise type(error)(error.path, f"{error.message} (in {folder})") from error


def _is_of_transformers(content: FolderContent, cls: type[nn.Module] | None) -> bool:
    is_model = cls is not None and hasattr(cls, "config_class")
    return (
        "model_type" in content.config or "architectures" in content.config or is_model
    )


def _config(module: nn.Module, hparams: Mapping[str, object]) -> dict[str, Any]:
    """Return the content of `config.json`: ours, or that of transformers."""
    config: Any = getattr(unwrapped(module), "config", None)
    if hasattr(type(unwrapped(module)), "config_class") and hasattr(config, "to_dict"):
        from .transformers_folder import config_of

        theirs = config_of(unwrapped(module), hparams)
        if theirs is not None:
            return theirs | {SAVE: digest(hparams)}
    return {**hparams, SAVE: digest(hparams)}
