"""Hyperparameters on their way into the metadata of records, and back out."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from ...config.path import did_you_mean
from ...records.calls import home_of
from ...records.errors import RecordError, RecordMismatchError, RecordVersionError
from ...records.flat_record import FlatRecord
from ...records.nodes import Encoder
from ..errors import HyperparameterError
from ..modules.classes import declared_class, is_decorated
from ..modules.registry import NAME, names_of
from ..modules.signature import parameters_of, takes_any_name
from ..modules.tree import Places, places_of
from ..modules.versions import version_of
from .building import planned
from .capture import ARGUMENTS
from .hparams_writer import Writer
from .passing import arguments_by_name, laid_over
from .plain import ORIGIN, OWN
from .structure import note_of_changes
from .unstored import ALL, UNSTORED, description

M = TypeVar("M", bound=nn.Module)


def recorded_hparams(
    module: nn.Module, places: Places | None = None
) -> dict[str, Any] | None:
    """Return the hyperparameters that a file can hold; None if nobody noted any.

    What was changed by hand since ``module`` was built is told too;
    ``places`` are its parts, if the caller knows them.

    A module may be given anything (a database handle), and its weights can be stored:
    what no file can hold is named under `UNSTORED`, with what it was.
    """
    cls = declared_class(type(module))
    is_noted = module.__dict__.get(ARGUMENTS) is not None or ORIGIN in module.__dict__
    if not is_noted and not is_decorated(cls):
        return None
    try:
        node = Writer(bare=True, partial=True).node(module, "")
    except (HyperparameterError, TypeError, RecursionError) as error:
        return {**names_of(cls), UNSTORED: {ALL: str(error)[:300]}}
    node.update(note_of_changes(module, places or places_of(module)))
    return _encodable(node)


def _encodable(node: dict[str, Any]) -> dict[str, Any]:
    """Return ``node`` without the arguments that the format of records refuses."""
    if _is_encodable(node):
        return node
    stored = {k: v for k, v in node.items() if k in OWN or _is_encodable(v)}
    lost = {k: description(v) for k, v in node.items() if k not in stored}
    return stored | {UNSTORED: {**stored.get(UNSTORED, {}), **lost}}


def _is_encodable(value: Any) -> bool:
    try:
        Encoder().encode(value, "hparams")
    except (TypeError, ValueError, RecordError):
        return False
    return True


def factory_of(
    cls: type[M], record: FlatRecord, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[], M]:
    """Return what builds ``cls`` of the arguments, and of the file's where none is.

    A file without hyperparameters of ``cls`` has none: the arguments are all there are.

    Raises `RecordMismatchError` if the file's hyperparameters are not those of ``cls``.
    """
    _check_no_options(cls, kwargs)
    file = record.reading.file
    stored = _stored(record)
    passed = arguments_by_name(cls, args, kwargs)
    if args or kwargs:
        stored = None if stored is None or not passed else _over(stored, cls, passed)
        if stored is None:
            return lambda: cls(*args, **kwargs)
    if stored is None:
        problem = _problem_of_call(cls, (), {})
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
        if passed and _problem_of_call(cls, args, kwargs) is None:
            return lambda: cls(*args, **kwargs)
        if stored.get(NAME) == cls.__qualname__:
            cure = _cure_of_change(cls, stored, error)
            raise RecordMismatchError(file, [str(error)], cure) from error
        raise RecordMismatchError(
            file,
            [
                f"found hyperparameters of {stored.get(NAME)}, expected those of "
                f"{cls.__qualname__}: {error}"
            ],
            "Load it with its own class, or pass the arguments to from_record.",
        ) from error


def _cure_of_change(
    cls: type[nn.Module], stored: Mapping[str, Any], error: Exception
) -> str:
    """Return what to do about arguments of a class that has changed since."""
    name = cls.__qualname__
    argument = error.path if isinstance(error, HyperparameterError) else ""
    if argument not in stored or argument in parameters_of(cls):
        return (
            f"Pass the arguments: {name}.from_record(file, ...); if the class has "
            "changed, give it a version and upgrade_rules (RenameField, DeleteField)."
        )
    version = version_of(cls)
    return (
        f"If {name} has changed, say how: @burnish.module(version={version + 1}, "
        f"upgrade_rules={{{version}: [DeleteField({argument!r})]}}), or "
        f"RenameField({argument!r}, new name), both of burnish.config. Arguments that "
        f"are passed, {name}.from_record(file, ...), need no rule."
    )


def _check_no_options(cls: type[nn.Module], kwargs: Mapping[str, Any]) -> None:
    """Raise TypeError for an option of reading or loading among the arguments."""
    if takes_any_name(cls):
        return
    for name in kwargs:
        if name in parameters_of(cls):
            continue
        call = f"{cls.__qualname__}.from_record"
        home = home_of(name, f"{call}(file{{}})", "read")
        near = did_you_mean(name, parameters_of(cls)).strip()
        takes = f"It takes {', '.join(parameters_of(cls)) or 'nothing'}."
        raise TypeError(
            f"{call} hands its arguments to the constructor, which takes no {name!r}. "
            f"{home or near or takes}"
        )


def _stored(record: FlatRecord) -> Mapping[str, Any] | None:
    ours = record.metadata.get("burnish")
    stored = ours.get("hparams") if isinstance(ours, Mapping) else None
    return stored if isinstance(stored, Mapping) else None


def _over(
    stored: Mapping[str, Any], cls: type[nn.Module], passed: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    try:
        return laid_over(stored, cls, passed)
    except RecordError:
        return None


def _problem_of_call(
    cls: type[nn.Module], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> str | None:
    """Return why ``cls`` cannot be called like this; None if it can."""
    try:
        inspect.signature(cls).bind(*args, **kwargs)
    except TypeError as error:
        return str(error)
    return None
