"""Hyperparameters on their way into the metadata of records, and back out."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from ...records.errors import RecordError, RecordMismatchError, RecordVersionError
from ...records.flat import FlatRecord
from ...records.tree import Encoder
from .building import planned
from .capture import ARGUMENTS
from .hyperparameters import get_hparams
from .plain import ORIGIN
from .registry import NAME

M = TypeVar("M", bound=nn.Module)


def recorded_hparams(module: nn.Module) -> dict[str, Any] | None:
    """Return the hyperparameters that a file can hold; None where it cannot.

    A module may be given anything (a database handle), and its weights can be stored.
    """
    if module.__dict__.get(ARGUMENTS) is None and ORIGIN not in module.__dict__:
        return None
    encoder = Encoder()
    try:
        node: Any = encoder.encode(get_hparams(module, bare=True), "hparams")
    except (TypeError, ValueError, NotImplementedError, RecordError):
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
    try:
        return planned(stored, cls)  # type: ignore[return-value]  # it builds the class that it is given
    except RecordVersionError:
        raise
    except (RecordError, TypeError) as error:
        raise RecordMismatchError(
            file,
            [
                f"found hyperparameters of {stored.get(NAME)}, expected those of "
                f"{cls.__qualname__}: {error}"
            ],
            "Load it with its own class, or pass the arguments to from_record.",
        ) from error


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
