"""Hyperparameters on their way into the metadata of records, and back out."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from ..records.errors import RecordMismatchError
from ..records.flat import FlatRecord
from ..records.tree import Encoder
from .capture import ARGUMENTS, arguments_of
from .registry import MODULE, NAME, REGISTERED, names_of
from .signature import call

M = TypeVar("M", bound=nn.Module)


def hparams_of(module: nn.Module) -> dict[str, Any]:
    """Return the class of ``module`` and the arguments that it was built with."""
    arguments = arguments_of(module) or {}
    return {**names_of(type(module)), **arguments}


def recorded_hparams(module: nn.Module) -> dict[str, Any] | None:
    """Return the hyperparameters that a file can hold; None where it cannot.

    A module may be given anything (a database handle), and its weights can be stored.
    """
    if module.__dict__.get(ARGUMENTS) is None:
        return None
    hparams = hparams_of(module)
    encoder = Encoder()
    try:
        node: Any = encoder.encode(hparams, "hparams")
    except TypeError:
        return None
    return None if encoder.entries else node


def factory_of(
    cls: type[M], record: FlatRecord, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[], M]:
    """Return what builds ``cls`` of the arguments or, without any, as the file says.

    Raises `RecordMismatchError` if the file's hyperparameters are not those of ``cls``.
    """
    if args or kwargs:
        return lambda: cls(*args, **kwargs)
    file = record.reading.file
    stored = _stored(record)
    if stored is None:
        problem = _without_arguments(cls)
        if problem is None:
            return cls
        raise RecordMismatchError(
            file,
            [f"found no hyperparameters, expected those of {cls.__qualname__}"],
            f"Pass them: {cls.__qualname__}.from_record(file, ...) ({problem}).",
        )
    arguments = {k: v for k, v in stored.items() if k not in (MODULE, NAME, REGISTERED)}
    unknown = [k for k in arguments if k not in inspect.signature(cls).parameters]
    if unknown:
        raise RecordMismatchError(
            file,
            [
                f"found hyperparameters of {stored.get(NAME)}, among them "
                f"{unknown[0]!r}, expected those of {cls.__qualname__}"
            ],
            "Load it with its own class, or pass the arguments to from_record.",
        )
    return lambda: call(cls, arguments)  # type: ignore[return-value]  # call builds its first argument


def _stored(record: FlatRecord) -> Mapping[str, Any] | None:
    ours = record.metadata.get("burnish")
    stored = ours.get("hparams") if isinstance(ours, Mapping) else None
    return stored if isinstance(stored, Mapping) else None


def _without_arguments(cls: type[nn.Module]) -> str | None:
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        return str(error)
    return None
