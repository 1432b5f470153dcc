"""Hyperparameters in the metadata of records, written and read."""

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from types import MappingProxyType
from typing import Any, TypeVar

from torch import nn

from ...config.spelling import did_you_mean
from ...records.calls import home_of
from ...records.entries.entries import Entries, library_part
from ...records.errors import RecordError, RecordMismatchError, RecordVersionError
from ..errors import HyperparameterError
from ..modules.classes import declaration, declared_class, is_decorated
from ..modules.registry import NAME, Node, is_of_a_parent, is_same_class, names_of
from ..modules.signature import parameters_of, takes_any_name
from ..modules.tree import Places, places_of
from ..modules.versions import version_of
from .capture import ARGUMENTS, builder_of, library_bases
from .descriptions import description
from .hparams_node import (
    ALL,
    CONTAINERS,
    DEFAULTS,
    KINDS,
    ORIGIN,
    RESERVED,
    UNSTORED,
    VERSION,
    dict_at,
    is_child,
)
from .module_plan import PassedArgument
from .reader import planned
from .structure import is_storable, note_of_changes
from .upgrade import upgraded_node
from .writer import Writer

M = TypeVar("M", bound=nn.Module)

PART = "part"
"""In a module's metadata: whether only some of its entries were saved."""

_LEVELS_ABOVE = 3
"""Levels of maps around an argument: metadata, the library's part, hyperparameters."""


def recorded_hparams(
    module: nn.Module, places: Places | None = None
) -> dict[str, Any] | None:
    """Return hyperparameters that a file can hold; None if none were captured.

    Manual changes since ``module`` was built are included; ``places`` are its parts, if
    the caller knows them. A module may have any argument (a database handle) and its
    weights can be stored all the same: what no file can hold is described under
    `UNSTORED`.
    """
    cls = declared_class(type(module))
    is_noted = module.__dict__.get(ARGUMENTS) is not None or ORIGIN in module.__dict__
    if not is_noted and not is_decorated(cls):
        return None
    try:
        node = Writer(bare=True, partial=True).node(module, "")
    except (HyperparameterError, TypeError, RecursionError) as error:
        # Weights can be stored anyway; building from the file will report it.
        reason = f"holds values that cannot be stored: {error}"
        return {**names_of(cls), UNSTORED: {ALL: reason[:300]}}
    node.update(note_of_changes(module, places or places_of(module)))
    return _storable_node(node)


def _storable_node(node: dict[str, Any]) -> dict[str, Any]:
    """Return ``node`` without the arguments that the format of records refuses."""
    unstored = {
        name: description(value)
        for name, value in node.items()
        if name not in RESERVED and not is_storable(value, _LEVELS_ABOVE)
    }
    if not unstored:
        return node
    storable = {name: value for name, value in node.items() if name not in unstored}
    return storable | {UNSTORED: {**storable.get(UNSTORED, {}), **unstored}}


def factory_of(
    cls: type[M],
    record: Entries,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] = MappingProxyType({}),
) -> Callable[[], M]:
    """Return what builds ``cls`` from the arguments, completed by the file's.

    A file without hyperparameters of ``cls`` adds none. Raises `RecordMismatchError` if
    the file's hyperparameters are not those of ``cls``.
    """
    file = record.reading.file
    stored_node = stored_hparams(record)
    passed_arguments: Mapping[str, Any] = {}
    if args or kwargs:
        _check_no_options(cls, kwargs)
        passed_arguments = arguments_by_name(cls, args, kwargs)
        if stored_node is not None:
            stored_node = _overlay_or_none(stored_node, cls, passed_arguments)
        # The stored arguments are useless, or cannot be combined with these.
        if stored_node is None:
            return lambda: cls(*args, **kwargs)
    if stored_node is None:
        return _checked_factory(cls, file)
    try:
        return planned(stored_node, cls)  # type: ignore[return-value]  # it builds the class that it is given
    except RecordVersionError:
        raise
    except (RecordError, TypeError) as error:
        # The stored arguments do not fit the class, but the call alone does.
        if passed_arguments and _problem_of_call(cls, args, kwargs) is None:
            return lambda: cls(*args, **kwargs)
        raise _misfit(file, cls, stored_node, error) from error


def _checked_factory(cls: type[M], file: str) -> Callable[[], M]:
    """Return ``cls``, if it can be called without the arguments missing in the file."""
    problem = _problem_of_call(cls, (), {})
    if problem is None:
        return cls
    raise RecordMismatchError(
        file,
        [f"found no hyperparameters, expected those of {cls.__qualname__}"],
        f"Pass them: {cls.__qualname__}.from_record(file, ...) ({problem}).",
    )


def _misfit(
    file: str, cls: type[nn.Module], stored_node: Node, error: Exception
) -> RecordMismatchError:
    """Return the error for stored hyperparameters that cannot build ``cls``."""
    if stored_node.get(NAME) == cls.__qualname__:
        cure = _cure_of_change(cls, stored_node, error)
        return RecordMismatchError(file, [str(error)], cure)
    return RecordMismatchError(
        file,
        [
            f"found hyperparameters of {stored_node.get(NAME)}, expected those of "
            f"{cls.__qualname__}: {error}"
        ],
        "Load it with its own class, or pass the arguments to from_record.",
    )


def _cure_of_change(cls: type[nn.Module], stored_node: Node, error: Exception) -> str:
    """Return advice for arguments of a class that has changed since."""
    name = cls.__qualname__
    argument = error.path if isinstance(error, HyperparameterError) else ""
    if argument not in stored_node or argument in parameters_of(cls):
        return (
            f"Pass the arguments: {name}.from_record(file, ...); if the class has "
            "changed, give it a version and upgrade_rules (RenameField, DeleteField)."
        )
    version = version_of(cls)
    rules = f"{{{version}: [DeleteField({argument!r})]}}"
    options = f"version={version + 1}, upgrade_rules={rules}"
    return (
        f"If {name} has changed, say how: {declaration(cls, options)}, or "
        f"RenameField({argument!r}, new name), both of burnish.config. Arguments that "
        f"are passed, {name}.from_record(file, ...), need no rule."
    )


def _check_no_options(cls: type[nn.Module], kwargs: Mapping[str, object]) -> None:
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
            f"{call} passes its arguments to the constructor, which takes no "
            f"{name!r}. {home or near or takes}"
        )


def stored_hparams(record: Entries) -> Mapping[str, Any] | None:
    """Return the hyperparameters in ``record``; None if it has none."""
    hparams: Any = library_part(record.metadata).get("hparams")
    return hparams if isinstance(hparams, Mapping) else None


def is_part(record: Entries) -> bool:
    """Return whether its writer or its reader selected some of a module's entries."""
    reading = record.reading
    is_stored_part = library_part(record.metadata).get(PART) is True
    return is_stored_part or reading.only is not None or reading.exclude is not None


def _overlay_or_none(
    stored_node: Node, cls: type[nn.Module], passed: Mapping[str, object]
) -> Mapping[str, Any] | None:
    """Return `overlay_arguments`, if any were ``passed`` whose names are known."""
    if not passed:
        return None
    try:
        return overlay_arguments(stored_node, cls, passed)
    except RecordError:
        return None


def _problem_of_call(
    cls: type[nn.Module], args: tuple[Any, ...], kwargs: Mapping[str, object]
) -> str | None:
    """Return why ``cls`` cannot be called like this; None if it can."""
    try:
        inspect.signature(cls).bind(*args, **kwargs)
    except TypeError as error:
        return str(error)
    return None


def arguments_by_name(
    cls: type[nn.Module], args: tuple[Any, ...], kwargs: Mapping[str, object]
) -> dict[str, Any]:
    """Return the arguments of a call of ``cls``; none if it does not accept them."""
    signature = inspect.Signature([*parameters_of(cls).values()])
    try:
        return signature.bind_partial(*args, **kwargs).arguments
    except TypeError:
        return {}


def overlay_arguments(
    stored_node: Node, cls: type[nn.Module], arguments: Mapping[str, object]
) -> Mapping[str, Any] | None:
    """Return ``stored_node`` with ``arguments`` instead of its own.

    Stored arguments that ``cls`` no longer accepts are left out. None if they are those
    of another class, or if the names of the arguments are unknown.
    """
    if not (is_same_class(stored_node, cls) or is_of_a_parent(stored_node, cls)):
        return None
    node = upgraded_node(cls, stored_node, "")
    is_unknown = ALL in dict_at(node, UNSTORED)
    if is_unknown or not _are_names_known(node, cls, arguments):
        return None
    current_entries = {
        name: value
        for name, value in node.items()
        if name in parameters_of(cls) or name in RESERVED or is_child(value)
    }
    notes: dict[str, Any] = {
        key: {k: v for k, v in dict_at(node, key).items() if k not in arguments}
        for key in (UNSTORED, DEFAULTS, CONTAINERS, KINDS)
    }
    if version_of(cls):
        notes[VERSION] = version_of(cls)
    return {
        **current_entries,
        **notes,
        **_passed_entries(current_entries, cls, arguments),
    }


def _passed_entries(
    stored_node: Node, cls: type[nn.Module], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for name, value in arguments.items():
        if parameters_of(cls)[name].kind is Parameter.VAR_KEYWORD:
            more = {
                key: PassedArgument(f"{name}.{key}", item)
                for key, item in value.items()
            }
            entries[name] = {**dict_at(stored_node, name), **more}
        else:
            entries[name] = PassedArgument(name, value)
    return entries


def _are_names_known(
    node: Node, cls: type[nn.Module], arguments: Mapping[str, object]
) -> bool:
    """Return whether names distinguish ``arguments`` from the stored ones.

    An item of ``*args`` may be any parameter of a parent's constructor.
    """
    # A user's builder creates arguments from data, and may not accept finished ones.
    if builder_of(cls) is not None and library_bases.isdisjoint(cls.__mro__):
        return False
    kinds = {name: parameters_of(cls)[name].kind for name in arguments}
    variadic = [
        name
        for name, parameter in parameters_of(cls).items()
        if parameter.kind is Parameter.VAR_POSITIONAL
    ]
    if any(name in arguments for name in variadic):
        return False
    is_by_position = any(node.get(name) for name in variadic)
    return not (is_by_position and Parameter.VAR_KEYWORD in kinds.values())
