"""Saving of modules: their records, and files of records."""

import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, Unpack, get_args, get_origin, overload

import numpy as np
import torch
from torch import nn

from ...config.patterns import Patterns
from ...config.process.gc_pause import paused_collection
from ...config.short_text import with_article
from ...records.background_saves import (
    STAGING,
    SnapshotKind,
    SnapshotOptions,
    save_in_background,
)
from ...records.calls import explain_calls
from ...records.entries.encoder import Storable
from ...records.entries.entries import path_index
from ...records.entries.select import check_any_chosen, selected
from ...records.flat_record import FlatRecord, flat_record
from ...records.io.progress import Progress
from ...records.io.remote.url import Place
from ...records.io.save_handle import SaveHandle
from ...records.io.sink import Destination, File
from ...records.nest import record_of_data
from ...records.precision import PrecisionLike
from ...records.readable import entries_in
from ...records.record_view import Branch
from ...records.record_writer import (
    RecordWriter,
    SaveOptions,
    writer_for,
)
from ...records.sharded.folder import folder_named
from ...records.sharded.saving import (
    check_no_group,
    save_to_folder,
    writer_of_folder,
)
from ..hyperparameters.record_metadata import PART, recorded_hparams
from ..modules.classes import declared_class, is_decorated
from ..modules.module_argument import check_module
from ..modules.tree import places_of, unwrapped
from ..modules.versions import recorded_versions, version_of
from ..state.entries import content_of
from ..state.identity import identify, share_ids
from .burn_convention import to_burn


def into_record(module: nn.Module) -> FlatRecord:
    """Return a record of the live tensors: it changes as ``module`` does.

    Its ``clone()`` is a snapshot. It holds parameters, buffers (non-persistent ones
    too) and extra state that is plain data, and nothing else of the module. Raises
    `RecordError` for tensors without values and for other extra state.
    """
    check_module(module, "into_record")
    return chosen_record(module, None, None)[0]


def chosen_record(
    module: nn.Module, only: Patterns | None, exclude: Patterns | None
) -> tuple[FlatRecord, frozenset[str]]:
    """Return `into_record` of the selected entries, and the paths of all others."""
    places = places_of(module)
    content = content_of(
        places,
        identify(places),
        is_left_out=lambda item: not selected(item, only, exclude),
    )
    inner_module = unwrapped(module)
    # FSDP creates a class for each class that it shards.
    cls = declared_class(type(inner_module))
    ours = recorded_versions(places)
    hparams = recorded_hparams(inner_module, places)
    if hparams is not None:
        ours["hparams"] = hparams
        if only is not None or exclude is not None:
            ours[PART] = True
    metadata = {"burnish": ours} if ours else {}
    record = record_type(cls).of(
        content.entries,
        tree=content.tree,
        metadata=metadata,
        type_name=cls.__qualname__,
    )
    if only is None and exclude is None:
        return record, frozenset()
    chosen = record.select(only=only, exclude=exclude, absent=content.formless)
    paths = {*path_index(record), *content.tree, *content.formless}
    return chosen, frozenset(paths.difference(path_index(chosen), chosen.tree or ()))


Savable: TypeAlias = (
    nn.Module
    | Storable
    | Branch
    | Mapping[Any, Any]
    | list[Any]
    | tuple[Any, ...]
    | AbstractSet[Any]
    | torch.Tensor
    | np.ndarray
    | float
)
"""What `save_record` accepts: a module, a record, or plain data with tensors."""


class ModuleSaveOptions(SaveOptions, total=False):
    """How the record of a module is saved."""

    only: Patterns | None
    """Patterns of the paths to store; None: all."""
    exclude: Patterns | None
    """Patterns of the paths to leave out."""


@overload
def save_record(module: Savable, **options: Unpack[ModuleSaveOptions]) -> bytes: ...
@overload
def save_record(
    module: Savable,
    file: File,
    *,
    wait: Literal[True] = True,
    **options: Unpack[ModuleSaveOptions],
) -> None: ...
@overload
def save_record(
    module: Savable,
    file: os.PathLike[str],
    *,
    wait: Literal[False],
    snapshot: SnapshotKind = "copy",
    staging: int = STAGING,
    **options: Unpack[ModuleSaveOptions],
) -> SaveHandle[Path]: ...
@overload
def save_record(
    module: Savable,
    file: File,
    *,
    wait: Literal[False],
    snapshot: SnapshotKind = "copy",
    staging: int = STAGING,
    **options: Unpack[ModuleSaveOptions],
) -> SaveHandle[Place]: ...
@explain_calls("burnish.save_record(module, file{})", "write")
def save_record(
    module: Savable,
    file: Destination = ...,
    *,
    precision: PrecisionLike = None,
    recorder: RecordWriter | str | None = None,
    only: Patterns | None = None,
    exclude: Patterns | None = None,
    metadata: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    wait: bool = True,
    snapshot: SnapshotKind = "copy",
    staging: int = STAGING,
    group: Any = None,
) -> bytes | SaveHandle[Path] | SaveHandle[Place] | None:
    """Write the record of ``module`` to ``file``, or return it as bytes without one.

    ``precision`` applies to floating parameters, chunk by chunk while writing. ``only``
    and ``exclude`` are patterns of paths. A failed save leaves the old file whole.
    Raises the errors of `into_record` and `Record.save`.

    Instead of a module anything that torch.save accepts may be passed: a state dict, a
    record, or nested plain data with tensors. ``open_record(file).to_data()`` returns
    it, and if a state dict is in it, `load_record` finds it. TypeError names the path
    of an object that is not plain data.

    With ``wait=False`` everything to be saved is copied, and a thread writes it while
    the program continues: later changes are not in the file. The result is a handle,
    whose ``wait()`` returns the absolute path, or the `Url`, once it is complete, or
    raises the save's error; so does the next such save. Only one is in progress at a
    time, and the program does not end before it has. ``snapshot="lazy"`` does not copy
    tensors held by optimizers immediately: before a step of one, and before
    `load_record`, up to ``staging`` bytes of what is not yet written are copied, and
    the rest is waited for; the handle's ``report`` states for how long. Other changes
    before that fail the save, and the older file stays.

    A folder is written by all processes together, or by those of ``group``, if only
    they call this.
    """
    options = SnapshotOptions()
    if wait is not True or snapshot != options.kind or staging != options.staging:
        options = SnapshotOptions.checked(snapshot, staging, wait=wait)
    # Modules are checked first, since an isinstance of Mapping is slow.
    if not isinstance(module, _SAVABLE):
        check_module(module, "save_record")
    folder = folder_named(file)
    if folder is not None:
        if not wait:
            raise _no_waiting(folder)
        writer = writer_of_folder(folder, recorder)
        if isinstance(module, nn.Module):
            # In the folder parameters have the IDs of the first process.
            share_ids(places_of(module), group)
        save_to_folder(
            partial(_record_to_save, module, writer, only, exclude),
            folder,
            precision=writer.precision if precision is None else precision,
            metadata=metadata,
            progress=progress,
            group=group,
        )
        return None
    check_no_group(group, file)
    writer = writer_for(file, recorder)
    record = _record_to_save(module, writer, only, exclude)
    writable = writer.prepare(record, precision=precision, metadata=metadata)
    if not wait:
        return save_in_background(writable, file, progress, options)
    return writable.save_after_others(file, progress)


@paused_collection()
def _record_to_save(
    module: Savable,
    writer: RecordWriter,
    only: Patterns | None,
    exclude: Patterns | None,
) -> FlatRecord:
    """Return the record; ValueError if patterns leave nothing to save."""
    if not isinstance(module, nn.Module):
        return _record_of_data(module, only, exclude)
    record, left_out = chosen_record(module, only, exclude)
    if not record.entries() and not record.tree:
        check_any_chosen(len(left_out), only, exclude)
    if writer.written_convention == "burn":
        return to_burn(record, places_of(module))
    return record


def _no_waiting(folder: str) -> ValueError:
    return ValueError(
        f"{folder}: all processes write a folder together and wait for each "
        "other; remove wait=False, or use Checkpoints(..., wait=False), whose "
        "processes agree in the background"
    )


# A value that is a float to type checkers may be an int.
_SAVABLE = (*(get_origin(kind) or kind for kind in get_args(Savable)), int)


def _record_of_data(
    value: Any, only: Patterns | None, exclude: Patterns | None
) -> FlatRecord:
    if isinstance(value, Storable | Branch):
        record = flat_record(entries_in(value))
    else:
        record = flat_record(record_of_data(value))
    if record.is_typed and (only is not None or exclude is not None):
        raise ValueError(
            "only= and exclude= select tensors of a module or of a state dict; from "
            f"{with_article(record.type_name)}, remove what should not be stored"
        )
    chosen = record.select(only=only, exclude=exclude)
    if not chosen.entries() and not chosen.tree:
        check_any_chosen(len(record.entries()) + len(record.tree or ()), only, exclude)
    return chosen


_TYPE = "_burnish_record_type"
"""The attribute of a class that holds the type of its records."""


def record_type(cls: type[nn.Module]) -> type[FlatRecord]:
    """Return the type of records of ``cls``: one class each, created at first use.

    The type of a subclass is a subclass. Undecorated modules share one.
    """
    existing_type = cls.__dict__.get(_TYPE)
    if existing_type is not None:
        return existing_type  # type: ignore[no-any-return]  # only set below
    if not is_decorated(cls):
        return FlatRecord
    bases = [record_type(base) for base in cls.__bases__ if issubclass(base, nn.Module)]
    parents = tuple(b for b in dict.fromkeys(bases) if b is not FlatRecord)
    new_type = type(
        "Record",
        parents or (FlatRecord,),
        {
            "__module__": cls.__module__,
            "__qualname__": f"{cls.__qualname__}.Record",
            "__doc__": f"What {with_article(cls.__qualname__)} has learned.",
            "_of_class": (cls.__qualname__, partial(_own_metadata, cls)),
        },
    )
    setattr(cls, _TYPE, new_type)
    return new_type


def _own_metadata(cls: type[nn.Module]) -> dict[str, Any]:
    """Return the metadata in a record of ``cls`` about the current class."""
    version = version_of(cls)
    return {"version": version} if version else {}


class RecordOfClass:
    """The class attribute ``Record`` of a decorated class."""

    def __get__(self, module: Any, cls: type[nn.Module]) -> type[FlatRecord]:
        return record_type(cls)
