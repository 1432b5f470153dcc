"""Lightning modules from checkpoints of records, without initializing them."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from lightning.pytorch import LightningModule

from ...config.files import read_tree
from ...core.blueprint.lightning import built_as, rebuilt
from ...core.hyperparameters.record_metadata import factory_of
from ...core.persistence.loading import from_record
from ...records.entries.entries import with_parts
from ...records.errors import RecordMismatchError
from ...records.flat_record import FlatRecord
from ...records.record import Record
from .checkpoint_folder import STORED, is_checkpoint, refuse_other_sources
from .chosen_weights import LEFT_OUT
from .record_io import read_checkpoint

M = TypeVar("M", bound=LightningModule)


def load_lightning(
    cls: type[M],
    path: object,
    map_location: object = None,
    *,
    hparams_file: object = None,
    strict: bool | None = None,
    weights_only: bool | None = None,
    **kwargs: object,
) -> M:
    """Return the module of class ``cls`` that a checkpoint contains.

    It works for every LightningModule; ``Model.load_from_checkpoint`` calls it.
    Arguments are those of ``load_from_checkpoint``, which loads the files that
    Lightning wrote.
    """
    if not isinstance(cls, type):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(
            f"load_lightning: the first argument is {cls!r:.60}, expected the class of "
            "the module, and then the checkpoint: load_lightning(MyModule, folder)"
        )
    if is_checkpoint(path):
        checkpoint = read_checkpoint(path, map_location)
        is_strict = True if strict is None else strict
        return _from_records(cls, checkpoint, hparams_file, kwargs, is_strict)
    refuse_other_sources(path)
    if hparams_file is None:
        module: M | None = rebuilt(cls, path, map_location, strict, **kwargs)
        if module is not None:
            return module
    inherited: Any = super(_first_of_ours(cls), cls).load_from_checkpoint
    loaded: M = inherited(
        path,
        map_location=map_location,
        hparams_file=hparams_file,
        strict=strict,
        weights_only=weights_only,
        **kwargs,
    )
    return loaded


def _from_records(
    cls: type[M],
    checkpoint: dict[str, Any],
    hparams_file: object,
    kwargs: dict[str, Any],
    is_strict: bool,
) -> M:
    """Return the module of class ``cls`` from a ``checkpoint`` that we wrote."""
    record = Record.from_state_dict(checkpoint["state_dict"])
    is_changed = bool(kwargs) or hparams_file is not None
    if STORED in checkpoint and not is_changed:
        ours = {"hparams": checkpoint[STORED]}
        record = with_parts(record, metadata={**record.metadata, "burnish": ours})
    build = _factory(cls, checkpoint, record, hparams_file, kwargs)
    try:
        model = from_record(build, record, strict=is_strict)
    except RecordMismatchError as error:
        if LEFT_OUT in checkpoint:
            error.add_cure(
                "The checkpoint was saved with only= or exclude=: "
                f"load_lightning({cls.__qualname__}, folder, strict=False) "
                "leaves the rest as the constructor initializes it."
            )
        raise
    model.on_load_checkpoint(checkpoint)
    return model


def _factory(
    cls: type[M],
    checkpoint: dict[str, Any],
    record: FlatRecord,
    hparams_file: Any,
    kwargs: dict[str, Any],
) -> Callable[[], M]:
    """Return a function that builds the module: its blueprint, or a call of ``cls``."""
    hparams: dict[str, Any] = dict(checkpoint.get("hyper_parameters") or {})
    if hparams_file is not None:
        hparams = dict(read_tree(hparams_file)[0])
    build = built_as(cls, hparams, kwargs)
    if build is not None:
        return build
    if not hparams and not kwargs and STORED in checkpoint:
        return factory_of(cls, record)
    name = checkpoint.get("hparams_name")
    parameters = inspect.signature(cls).parameters
    if isinstance(name, str) and name in parameters and name not in hparams:
        hparams = {name: hparams}
    arguments = {**_accepted_arguments(cls, hparams), **kwargs}
    return lambda: cls(**arguments)


def _accepted_arguments(cls: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that ``cls`` accepts; a checkpoint may have others."""
    parameters = inspect.signature(cls).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return arguments
    names = {p.name for p in parameters}
    return {name: value for name, value in arguments.items() if name in names}


def _first_of_ours(cls: type) -> Any:
    """Return the last class before Lightning's own, whose parent loads its files."""
    mro = cls.__mro__
    return mro[mro.index(LightningModule) - 1]
